"""How much the sites of a system share: what a latent variable must carry, in nats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy

from mfvae._validation import (
    check_count,
    check_finite_array,
    check_probabilities,
    check_seed,
    check_spins,
    check_temperature,
)
from mfvae.measure._data_demand import conditional_cross_entropy, cut_information, two_letters
from mfvae.systems.base import Estimate, System

__all__ = ["CapacityDemand", "Cut", "capacity_demand", "find_best_cut"]


@dataclass(frozen=True)
class CapacityDemand:
    """What must pass through a latent that makes the sites independent, nats per configuration.

    Attributes:
        half_cut (Estimate or None): Mutual information of the first half of the sites and the
            others; None if unknown.
        checkerboard (Estimate or None): That of the two sublattices of an even square lattice.
        one_site (Estimate or None): That of one site and all others, averaged over sites: ``(TC +
            D)/n_sites`` with the total correlation TC, since ``TC + D = Σ_i I(x_i; x_{-i})``.
        best_cut (Estimate or None): The largest mutual information across a cut that is known.
        dual_total_correlation (Estimate or None): ``D = H(x) - Σ_i H(x_i | x_{-i})``, which no cut
            exceeds (Han 1978).
        note (str): How the numbers were found, and on which side they err.
    """

    half_cut: Estimate | None
    checkerboard: Estimate | None
    one_site: Estimate | None
    best_cut: Estimate | None
    dual_total_correlation: Estimate | None
    note: str


@dataclass(frozen=True)
class Cut:
    """Two sets of sites: ``first`` (n_sites,) bool marks one; ``mutual_information`` in nats."""

    first: np.ndarray
    mutual_information: float


def capacity_demand(
    source: System | np.ndarray,
    temperature: float | None = None,
    *,
    log_prob: np.ndarray | None = None,
    seed: int | np.random.SeedSequence = 0,
) -> CapacityDemand:
    """Return what a latent variable must carry to make the sites of ``source`` independent.

    For a system of `mfvae.systems` the numbers are its own: exact, or (Ising above L = 4,
    Maier-Saupe) averages of exact conditional entropies over samples. Of a Curie-Weiss model half
    against half is the best cut of all: the mutual information is a symmetric submodular function
    of one side, hence concave in the number of spins on it. On an even square lattice the
    checkerboard is, since it attains D. Of the Maier-Saupe model only the cut between one director
    and all others is known.

    For data, rows from one ensemble, every number is an estimate that errs in a known direction:

    - ``half_cut`` and ``best_cut``: of the leading canonical pair of the two halves, binned. By
      the data processing inequality a **lower** estimate, as the bound ``gap ≥ I(A;B) - R`` needs.
    - ``dual_total_correlation``: ``Σ_i H(x_i | x_{-i})`` is replaced by the held-out cross-entropy
      of logistic regressions, which errs **upward** and so D **downward**. ``H(x)`` needs a law:
      given the exact ``ln p(x)`` the estimate is a lower one. Given the held-out ``ln p_θ(x)`` of
      a model, H and with it D err **upward** by KL(p ‖ p_θ): the sum has **no known side**, and
      is a lower bound of D plus that divergence, no more. Without ``log_prob`` it is None.

    Args:
        source (System, or array_like of shape (n_samples, n_sites)): A system, or data: spins -1,
            +1 or words 0, 1; at least 100 rows.
        temperature (float, optional): Units of J/k_B; needed for a system, and for a system only.
        log_prob (array_like, shape (n_samples,), optional): For data: ln p(x) of each row, nats,
            exact or of a model that was trained on other rows.
        seed (int or numpy.random.SeedSequence): Source of randomness of what is sampled.

    Returns:
        CapacityDemand: All in nats for the whole system.

    Raises:
        TypeError, ValueError: If an argument is not as described.
        NotImplementedError: If the system has no exact results (Hopfield with more than three
            patterns).

    >>> from mfvae.systems import CurieWeiss
    >>> demand = capacity_demand(CurieWeiss(16), 1.0)
    >>> round(demand.half_cut, 4), round(demand.dual_total_correlation, 4)
    (0.3279, 0.4287)
    """
    if isinstance(source, System):
        if log_prob is not None:
            raise TypeError("log_prob belongs to data; a system knows its own")
        return _system_demand(source, check_temperature(temperature), seed)
    if temperature is not None:
        raise TypeError("temperature belongs to a system; data must be of one ensemble")
    return _data_demand(source, log_prob, seed)


def _system_demand(
    system: System, temperature: float, seed: int | np.random.SeedSequence
) -> CapacityDemand:
    checkerboard = None
    length = getattr(system, "length", None)
    total = system.dual_total_correlation(temperature, seed=seed)
    try:
        half = system.mutual_information(temperature)
    except NotImplementedError:  # half a torus with L > 4, Maier-Saupe
        half = None
    if length is not None and length % 2 == 0:
        checkerboard = total  # given one sublattice, the spins of the other are independent
    one_site = Estimate(
        (system.total_correlation(temperature) + total) / system.n_sites,
        stderr=total.stderr / system.n_sites,
        exact=total.exact,
    )
    best = max((cut for cut in (half, checkerboard, one_site) if cut is not None), key=float)
    note = "exact" if total.exact else "H exact, conditional entropies averaged over samples"
    return CapacityDemand(half, checkerboard, one_site, best, total, note)


def _data_demand(
    x: np.ndarray, log_prob: np.ndarray | None, seed: int | np.random.SeedSequence
) -> CapacityDemand:
    x = check_finite_array(x, "x", ndim=2, dtype=None)
    first = np.arange(x.shape[1]) < x.shape[1] // 2
    half = cut_information(two_letters(x), first)
    note = "cut from below (binned canonical pair)"
    if log_prob is None:
        return CapacityDemand(half, None, None, half, None, note)
    log_prob = check_finite_array(log_prob, "log_prob", ndim=1)
    if len(log_prob) != len(x):
        raise ValueError(f"log_prob must have shape ({len(x)},), got {log_prob.shape}")
    total = conditional_cross_entropy(x, entropy_of=-log_prob)
    note += "; D up by the divergence of log_prob from the law, down by that of the regressions"
    return CapacityDemand(half, None, None, half, total, note)


def find_best_cut(
    x: np.ndarray,
    probabilities: np.ndarray,
    *,
    n_restarts: int = 4,
    seed: int | np.random.SeedSequence = 0,
) -> Cut:
    """Search for the cut of largest mutual information, of a law given state by state.

    From the half cut, the odd against the even sites, the spectral cut of the absolute correlations
    (correlated sites on different sides: the lowest eigenvector), and random cuts, sites change
    sides one at a time as long as that gains: a lower bound of the maximum over all cuts.

    Args:
        x (array_like, shape (n_states, n_sites)): Spins -1 and +1, each configuration at most once,
            at most 62 sites.
        probabilities (array_like, shape (n_states,)): Their probabilities, of sum 1.
        n_restarts (int): Number of random cuts to start from.
        seed (int or numpy.random.SeedSequence): Source of them.

    Returns:
        Cut: The best cut that was found, nats.

    Raises:
        TypeError, ValueError: If ``x`` does not hold spins, or ``probabilities`` does not match it.

    >>> from mfvae.measure import all_configurations
    >>> from mfvae.systems import CurieWeiss
    >>> x = all_configurations(6)
    >>> cut = find_best_cut(x, np.exp(CurieWeiss(6).log_prob(x, 1.0)))
    >>> int(cut.first.sum()), round(cut.mutual_information, 4)
    (3, 0.2066)
    """
    x = check_spins(x)
    n_states, n_sites = x.shape
    if not 2 <= n_sites <= 62:
        raise ValueError(f"x must have from 2 to 62 sites, got {n_sites}")
    p = check_probabilities(probabilities, n_states=n_states)
    rng = np.random.default_rng(check_seed(seed))
    n_restarts = check_count(n_restarts, "n_restarts", minimum=0)
    sites = np.arange(n_sites)
    mean = p @ x
    covariance = (x * p[:, None]).T @ x - np.outer(mean, mean)
    _, vectors = np.linalg.eigh(np.abs(covariance))
    spectral = vectors[:, 0] > np.median(vectors[:, 0])
    starts = [spectral, sites < n_sites // 2, sites % 2 == 0]
    starts = [first for first in starts if first.any() and not first.all()]
    starts += [rng.permutation(n_sites) < n_sites // 2 for _ in range(n_restarts)]
    up = (x > 0).astype(np.int64)
    joint = float(-xlogy(p, p).sum())
    best = None
    for first in starts:
        value = _cut_value(up, p, joint, first)
        improved = True
        while improved:
            trials = [first ^ (sites == i) for i in sites]
            trials = [t for t in trials if t.any() and not t.all()]
            values = [_cut_value(up, p, joint, t) for t in trials]
            improved = max(values, default=0.0) > value + 1e-12
            if improved:
                value, first = max(values), trials[int(np.argmax(values))]
        if best is None or value > best.mutual_information:
            best = Cut(first, max(value, 0.0))
    return best


def _cut_value(up: np.ndarray, p: np.ndarray, joint_entropy: float, first: np.ndarray) -> float:
    information = -joint_entropy
    for side in (first, ~first):
        code = up[:, side] @ (1 << np.arange(side.sum()))
        if side.sum() > 20:
            code = np.unique(code, return_inverse=True)[1]
        marginal = np.bincount(code, weights=p)
        information -= float(xlogy(marginal, marginal).sum())
    return information
