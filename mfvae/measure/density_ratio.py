"""What correlations are left: total correlation by a relative density ratio.

``TC(x) = KL(p(x) || prod p(x_i))``, or given the latent of a VAE
``TC(x|z) = E_z KL(q(x|z) || prod p_θ(x_i|z))``, from samples alone.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.stats import t as student
from sklearn.utils.validation import check_is_fitted

from mfvae._validation import check_count, check_finite_array, check_seed
from mfvae.measure._attribution import attribute
from mfvae.measure._ratio_network import Inputs, cross_fit, log_resolved
from mfvae.measure._residuals import given_latent, independent_sites
from mfvae.systems.base import Estimate
from mfvae.vae.estimator import MeanFieldVAE

__all__ = ["SaturationWarning", "TotalCorrelation", "TotalCorrelationAt", "total_correlation"]

_N_FOLDS = 4
_N_REFERENCES = 4
_MIN_ROWS = 80  # of a condition
_N_BLOCKS = 64
_N_BOOTSTRAP = 400
_CONFIDENCE = 0.99
#: Saturated if the ratio of more than this fraction of the samples is not resolved.
_UNRESOLVED = 0.5


class SaturationWarning(UserWarning):
    """The correlation is more than the samples can resolve: the estimate is too low."""


@dataclass(frozen=True)
class TotalCorrelationAt:
    """Total correlation at one condition.

    Attributes:
        nats (Estimate): Plug-in estimate, with the bootstrap's standard error.
        lower (float): One-sided 99 % lower confidence limit, nats.
        saturated (bool): Whether the estimate is too low because the samples cannot resolve the
            ratio.
    """

    nats: Estimate
    lower: float
    saturated: bool

    def __str__(self) -> str:
        text = f"{self.nats.value:8.3f} ± {self.nats.stderr:.3f}   above {self.lower:8.3f}"
        return text + ("   saturated" if self.saturated else "")


@dataclass(frozen=True)
class TotalCorrelation(TotalCorrelationAt):
    """Total correlation, averaged over all rows and at every condition; prints as a table.

    Attributes:
        nats (Estimate): Plug-in estimate, with the bootstrap's standard error (of the average over
            rows; the bias of the learned ratio is not in it). Neither an upper nor a lower bound.
        lower (float): One-sided 99 % lower confidence limit, nats.
        saturated (bool): Whether the estimate is too low because the samples cannot resolve the
            ratio.
        by_condition (dict): `TotalCorrelationAt` for every condition: keys are floats, or tuples if
            there are several conditions; empty without conditions.
        one_point (numpy.ndarray): ``(n_sites,)``, or ``(n_sites, n_values)`` for directors and
            categories: coefficients of ln(p/q) on the residual of each site, nats.
        two_point (numpy.ndarray): ``(n_sites, n_sites)``, symmetric with zero diagonal:
            coefficients of ln(p/q) on the product of the residuals of two sites, nats.
        null (Estimate or None): The same estimator where joint and reference have one law: should
            be 0.
        log_ratio (numpy.ndarray): ``(n_samples,)`` held-out ln(p/q) of each row, nats.
    """

    by_condition: dict
    one_point: np.ndarray = field(repr=False)
    two_point: np.ndarray = field(repr=False)
    null: Estimate | None
    log_ratio: np.ndarray = field(repr=False)

    def __str__(self) -> str:
        lines = ["total correlation (nats)", f"  all rows {super().__str__()}"]
        for condition, value in self.by_condition.items():
            lines.append(f"  {condition!s:>8} {value}")
        if self.null is not None:
            lines.append(f"  null     {self.null.value:8.3f} ± {self.null.stderr:.3f}")
        if self.saturated or any(value.saturated for value in self.by_condition.values()):
            lines.append("  saturated: more than the samples can resolve, read as a lower bound")
        return "\n".join(lines)


def total_correlation(
    vae: MeanFieldVAE | None,
    X: np.ndarray,
    conditions: np.ndarray | None = None,
    *,
    seed: int | np.random.SeedSequence,
    lattice_shape: tuple[int, int] | None = None,
    n_epochs: int = 20,
    null: bool = False,
) -> TotalCorrelation:
    """Estimate the total correlation of ``X``, or what is left of it given the latent.

    A network learns the logarithm g of the ratio of the joint law to that of independent
    sites through the relative ratio ``r = p / (α p + (1-α) q) <= 1/α``, the minimiser of
    ``E_mix[r] - E_joint[ln r]`` (Yamada et al. 2013, eq. 4; Nguyen, Wainwright & Jordan 2010),
    α = 0.2. Each row is evaluated by a network that was trained on other rows. The estimate
    is ``E_joint[g]``; the lower limit is that of ``E_joint[g] - E_ref[e^g] + 1``, which is
    below the total correlation for every g.

    Args:
        vae (MeanFieldVAE or None): A trained model: joint rows (x, z) with z ~ q(z|x), reference x
            ~ prod p_θ(x_i|z) given the same z. None: unconditional, reference are the rows with
            every column permuted (within each condition).
        X (numpy.ndarray): ``(n_samples, n_sites)``: spins, words, categories (with a model only),
            real values; or directors ``(n_samples, n_sites, 3)``. Not those the model was trained
            on. Correlated rows should stand in the order of their chains: folds and bootstrap go by
            blocks of consecutive rows.
        conditions (numpy.ndarray or None): ``(n_samples,)`` or ``(n_samples, n_conditions)``, at
            least 80 rows each.
        seed (int or numpy.random.SeedSequence): Source of latents, references, initial weights and
            bootstrap.
        lattice_shape ((int, int) or None): Rows and columns of a periodic lattice: the network then
            also sees the correlation of residuals at every small distance.
        n_epochs (int): Passes through the data; more if the data are few.
        null (bool): Whether to run the estimator once more with one law on both sides.

    Returns:
        TotalCorrelation: Estimate, lower limit, values at each condition, attribution.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Warns:
        SaturationWarning: If for most of the rows the ratio is larger than the reference samples
            can resolve.

    >>> from mfvae.systems import CurieWeiss
    >>> system = CurieWeiss(16)
    >>> x = system.sample(1.0, 2000, seed=0)
    >>> found = total_correlation(None, x, seed=1, n_epochs=5)
    >>> bool(found.lower < system.total_correlation(1.0)), found.two_point.shape
    (True, (16, 16))
    """
    if vae is not None and not isinstance(vae, MeanFieldVAE):
        raise TypeError(f"vae must be a MeanFieldVAE or None, got {type(vae).__name__}")
    check_count(n_epochs, "n_epochs")
    X = check_finite_array(X, "X", dtype=None)
    if X.ndim not in (2, 3):
        raise ValueError(f"X must have shape (n_samples, n_sites) or (…, 3), got {X.shape}")
    keys, groups = _conditions(conditions, len(X))
    draws, training, calibration, resampling = check_seed(seed).spawn(4)
    folds, blocks = _parts(groups, _N_FOLDS), _parts(groups, _N_BLOCKS)
    n_samples = _N_REFERENCES + bool(null)
    if vae is None:
        table = np.zeros((len(X), 0)) if conditions is None else keys[groups]
        rng = np.random.default_rng(draws)
        samples = independent_sites(X, table, folds, n_samples, rng)
    else:
        check_is_fitted(vae, "module_")
        samples = given_latent(vae, X, conditions, n_samples, draws)
    n_sites = samples.residuals[0].shape[1]
    inputs = samples.inputs(_check_lattice(lattice_shape, n_sites))
    joint, references = inputs[0], inputs[1 : _N_REFERENCES + 1]
    with torch.random.fork_rng(devices=[]):
        on_joint, on_references = cross_fit(
            joint, references, folds, groups, n_epochs=n_epochs, seed=training
        )
        at_null = _null(inputs, folds, groups, n_epochs, calibration) if null else None
    rng = np.random.default_rng(resampling)
    overall = _summarize(on_joint, on_references, blocks, rng)
    by_condition = {}
    if conditions is not None:
        for group, key in enumerate(keys):
            rows = groups == group
            name = float(key[0]) if len(key) == 1 else tuple(key.tolist())
            by_condition[name] = _summarize(
                on_joint[rows], on_references[:, rows], blocks[rows], rng
            )
    n_first = len(on_joint)
    one_point, two_point = attribute(
        torch.cat([samples.residuals[0], samples.residuals[1][:n_first]]),
        torch.from_numpy(np.concatenate([on_joint, on_references[0]])),
    )
    result = TotalCorrelation(
        overall.nats,
        overall.lower,
        overall.saturated,
        by_condition=by_condition,
        one_point=one_point[:, 0] if one_point.shape[1] == 1 else one_point,
        two_point=two_point,
        null=None if at_null is None else _summarize(*at_null, blocks, rng).nats,
        log_ratio=on_joint,
    )
    names = [name for name, value in by_condition.items() if value.saturated]
    if result.saturated or names:
        where = f" at conditions {names}" if names else ""
        warnings.warn(
            f"the total correlation{where} is more than {len(X)} samples can resolve: "
            "the estimate is too low, read it as a lower bound",
            SaturationWarning,
            stacklevel=2,
        )
    return result


def _conditions(conditions: np.ndarray | None, n_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct conditions ``(n_groups, n_conditions)`` and the group of each row."""
    if conditions is None:
        keys, groups = np.zeros((1, 0)), np.zeros(n_samples, dtype=int)
    else:
        table = check_finite_array(conditions, "conditions")
        table = table[:, None] if table.ndim == 1 else table
        if table.ndim != 2 or len(table) != n_samples:
            raise ValueError(
                f"conditions must have shape ({n_samples},) or ({n_samples}, n_conditions), "
                f"got {np.shape(conditions)}"
            )
        keys, groups = np.unique(table, axis=0, return_inverse=True)
    fewest = np.bincount(groups.ravel()).min()
    if fewest < _MIN_ROWS:
        raise ValueError(f"every condition needs at least {_MIN_ROWS} rows, one has {fewest}")
    return keys, groups.ravel()


def _check_lattice(shape: tuple[int, int] | None, n_sites: int) -> tuple[int, int] | None:
    if shape is None:
        return None
    if not isinstance(shape, (tuple, list)) or len(shape) != 2:
        raise TypeError(f"lattice_shape must be (rows, columns), got {shape!r}")
    shape = tuple(check_count(length, "lattice_shape") for length in shape)
    if shape[0] * shape[1] != n_sites:
        raise ValueError(f"lattice_shape {shape} does not hold {n_sites} sites")
    return shape


def _parts(groups: np.ndarray, n_parts: int) -> np.ndarray:
    """Return the part of each row: consecutive rows of each group go into one part."""
    parts = np.empty(len(groups), dtype=int)
    for group in range(groups.max() + 1):
        for part, rows in enumerate(np.array_split(np.flatnonzero(groups == group), n_parts)):
            parts[rows] = part
    return parts


def _null(
    inputs: list[Inputs],
    folds: np.ndarray,
    groups: np.ndarray,
    n_epochs: int,
    seed: np.random.SeedSequence,
) -> tuple[np.ndarray, np.ndarray]:
    *references, joint = inputs[1:]
    return cross_fit(joint, references, folds, groups, n_epochs=n_epochs, seed=seed)


def _summarize(
    on_joint: np.ndarray, on_references: np.ndarray, blocks: np.ndarray, rng: np.random.Generator
) -> TotalCorrelationAt:
    """Return estimate, lower limit and whether it is saturated, from held-out log ratios."""
    # The bound holds for every g, so also for g cut where e^g would be carried by a few rows.
    cut = log_resolved(on_references.size)
    bounded = np.minimum(on_joint, cut)
    weights = np.exp(np.minimum(on_references, cut)).mean(axis=0)
    n_rows = np.bincount(blocks)
    plug_in, bound = (
        np.bincount(blocks, values) / n_rows for values in (on_joint, bounded - weights + 1)
    )
    n_blocks = len(n_rows)
    picks = rng.integers(n_blocks, size=(_N_BOOTSTRAP, n_blocks))
    stderr = plug_in[picks].mean(axis=1).std(ddof=1)
    # A weight of size W that no row shows may still have the probability ln(100) / n_rows.
    unseen = -np.log(1 - _CONFIDENCE) * weights.max() / on_references.size
    spread = bound.std(ddof=1) / np.sqrt(n_blocks)
    lower = bound.mean() - student.ppf(_CONFIDENCE, n_blocks - 1) * spread - unseen
    return TotalCorrelationAt(
        Estimate(on_joint.mean(), stderr=stderr, exact=False),
        float(lower),
        bool(np.mean(on_joint > cut) > _UNRESOLVED),
    )
