"""How much the sites of a system share: what a latent variable must carry, in nats."""

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy
from sklearn.linear_model import LogisticRegression

from mfvae._validation import check_finite_array, check_temperature, check_two_letters
from mfvae.measure.observables import blocks_of, jackknife, jackknife_of_means, weighted_sum
from mfvae.systems.base import Estimate, Seed, System

__all__ = ["CapacityDemand", "capacity_demand", "cut_information", "table_information"]

_N_FOLDS, _N_BLOCKS, _N_BINS, _MIN_ROWS = 5, 32, 12, 100


@dataclass(frozen=True)
class CapacityDemand:
    """What must pass through a latent that makes the sites independent, nats; None: not known.

    No cut exceeds the dual total correlation ``D = H(x) - Σ_i H(x_i | x_{-i})`` (Han 1978).
    """

    half_cut: Estimate | None  #: Mutual information of the first half of the sites and the others.
    best_cut: Estimate  #: The largest mutual information across a cut that is known.
    dual_total_correlation: Estimate | None
    note: str  #: How the numbers were found, and on which side they err.


def capacity_demand(
    source: System | np.ndarray,
    temperature: float | None = None,
    *,
    log_prob: np.ndarray | None = None,
    seed: Seed = 0,
) -> CapacityDemand:
    """Return what a latent variable must carry to make the sites of ``source`` independent.

    For a system of `mfvae.systems` the numbers are its own: exact, or (Ising above L = 4,
    Maier-Saupe) averages of exact conditional entropies over samples. Half against half is the
    best cut of a Curie-Weiss model: the mutual information is a symmetric submodular function of
    one side, hence concave in its number of spins. On an even square lattice it is the
    checkerboard, which attains D: given one sublattice, the spins of the other are independent.
    One site against the rest shares ``(TC + D)/n_sites`` on average: ``TC + D = Σ_i I(x_i;
    x_{-i})``.

    For data, rows from one ensemble, every number is an estimate that errs in a known direction.
    Cuts are `cut_information` of the two halves, too **low**, as the bound ``gap ≥ I(A;B) - R``
    needs. In D, ``Σ_i H(x_i | x_{-i})`` is replaced by the held-out cross-entropy of logistic
    regressions, too large, so that D is too **low** if ``log_prob`` is exact. Given the held-out
    ``ln p_θ(x)`` of a model, H errs upward by KL(p ‖ p_θ): the sum has **no known side**.

    Args:
        source: A system (NotImplementedError if it has no exact results), or spins -1, +1 or words
            of 0, 1, (n_samples >= 100, n_sites).
        temperature: Units of J/k_B; needed for a system, and for a system only.
        log_prob: For data: ln p(x) of each row, (n_samples,) nats, exact or of a model that was
            trained on other rows. Without it D is None.

    >>> from mfvae.systems import CurieWeiss
    >>> demand = capacity_demand(CurieWeiss(16), 1.0)
    >>> round(demand.half_cut, 4), round(demand.dual_total_correlation, 4)
    (0.3279, 0.4287)
    """
    if isinstance(source, System):
        if log_prob is not None:
            raise TypeError("log_prob belongs to data; a system knows its own")
        half, t = None, check_temperature(temperature)
        total = source.dual_total_correlation(t, seed=seed)
        share = weighted_sum([1 / source.n_sites] * 2, [source.total_correlation(t), total])
        cuts = [share]
        with suppress(NotImplementedError):  # half a torus with L > 4
            half = source.mutual_information(t)
            cuts.insert(0, half)
        if getattr(source, "length", 1) % 2 == 0:
            cuts.append(total)  # the checkerboard
        note = "exact" if total.exact else "H exact, conditional entropies averaged over samples"
        return CapacityDemand(half, max(cuts, key=float), total, note)
    if temperature is not None:
        raise TypeError("temperature belongs to a system; data must be of one ensemble")
    up = check_two_letters(source)
    n_samples, n_sites = up.shape
    half, total = cut_information(up, np.arange(n_sites) < n_sites // 2), None
    note = "cut from below (binned canonical pair)"
    if log_prob is not None:
        log_prob = check_finite_array(log_prob, "log_prob", shape=(n_samples,))
        # Row by row, so that common fluctuations cancel.
        rows = -log_prob - _conditional_cross_entropies(up)
        total = jackknife_of_means(rows[:, None], lambda mean: mean[..., 0], _N_BLOCKS)
        note += "; D up by the divergence of log_prob from the law, down by that of the regressions"
    return CapacityDemand(half, half, total, note)


def _conditional_cross_entropies(up: np.ndarray) -> np.ndarray:
    """Held-out ``Σ_i -ln q_i(x_i | x_{-i})`` of each row by regressions; folds are runs of rows."""
    centred = up - up.mean(axis=0)
    loss = np.zeros(len(up))
    for test in np.array_split(np.arange(len(up)), _N_FOLDS):
        train = np.ones(len(up), dtype=bool)
        train[test] = False
        for i in range(up.shape[1]):
            others, n_up = np.delete(centred, i, axis=1), up[train, i].sum()
            if 0 < n_up < train.sum():
                model = LogisticRegression(C=1.0, tol=1e-5, max_iter=1000)
                logit = model.fit(others[train], up[train, i]).decision_function(others[test])
            else:  # Laplace's rule
                logit = np.log((n_up + 1) / (train.sum() - n_up + 1))
            loss[test] += np.logaddexp(0, np.where(up[test, i], -logit, logit))
    return loss


def cut_information(x: np.ndarray, first: np.ndarray) -> Estimate:
    """Return the mutual information of the binned leading canonical pair of two sets of sites.

    A lower estimate of I(x_A; x_B) by the data processing inequality, nats, from numbers of any
    kind, (n_samples, n_features), of which ``first``, bool (n_features,), are on one side. The pair
    is found on every other block of rows and the information evaluated on the rest, with the bias
    of the plug-in removed to first order (Miller 1955).
    """
    if len(x) < _MIN_ROWS or x.shape[1] < 2:
        raise ValueError(f"x must have at least {_MIN_ROWS} rows of 2 sites, got shape {x.shape}")
    x = x.astype(np.float64)
    # Ten rows a cell, so that what is left of the plug-in's bias is below its error.
    n_bins = int(np.clip((len(x) / 20) ** 0.5, 2, _N_BINS))
    blocks = blocks_of(np.arange(len(x)), 2 * _N_BLOCKS)
    fit, test = (np.concatenate(blocks[start::2]) for start in (0, 1))
    x -= x[fit].mean(axis=0)
    sides, whiten, scores = (x[:, first], x[:, ~first]), [], []
    for side in sides:
        values, vectors = np.linalg.eigh(side[fit].T @ side[fit] / len(fit))
        # A ridge: with as many sites as rows the leading pair would be noise.
        whiten.append(vectors / np.sqrt(np.maximum(values, 0) + 0.05 * values.mean() + 1e-9))
    cross = (sides[0][fit] @ whiten[0]).T @ (sides[1][fit] @ whiten[1]) / len(fit)
    left, _, right = np.linalg.svd(cross)
    for side, white, direction in zip(sides, whiten, (left[:, 0], right[0]), strict=True):
        score = side @ (white @ direction)
        edges = np.unique(np.quantile(score[fit], np.arange(1, n_bins) / n_bins))
        scores.append(np.searchsorted(edges, score[test]))
    parts = np.array_split(scores[0] * n_bins + scores[1], _N_BLOCKS)
    counts = np.array([np.bincount(part, minlength=n_bins**2) for part in parts])
    return jackknife(counts, lambda c: table_information(c, (n_bins, n_bins)))


def table_information(counts: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Mutual information of rows and columns of counts (…, n_cells), first bias removed, nats."""
    table = counts.reshape(*counts.shape[:-1], *shape)
    total = table.sum(axis=(-2, -1))
    entropies = []
    for marginal in (table.sum(axis=-1), table.sum(axis=-2), counts):
        p = marginal / total[..., None]
        seen = np.count_nonzero(marginal, axis=-1)
        entropies.append(-xlogy(p, p).sum(axis=-1) + (seen - 1) / (2 * total))
    return entropies[0] + entropies[1] - entropies[2]
