"""What correlations are left: total correlation by a relative density ratio.

``TC(x) = KL(p(x) || prod p(x_i))``, or given the latent of a VAE
``TC(x|z) = E_z KL(q(x|z) || prod p_θ(x_i|z))``, from samples alone. A sample is seen through its
residuals: the values at the sites less their mean under the reference, in units of their spread.
"""

import warnings
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.stats import t as student
from torch import Tensor
from torch.utils.data import TensorDataset

from mfvae._validation import (
    check_conditions,
    check_count,
    check_directors,
    check_finite_array,
    check_lattice_shape,
    check_seed,
    check_trained,
)
from mfvae.measure import ratio_network as ratios
from mfvae.measure.gap import condition_groups
from mfvae.systems.base import Estimate, Seed
from mfvae.vae.director_likelihood import to_components
from mfvae.vae.estimator import MeanFieldVAE

__all__ = ["SaturationWarning", "TotalCorrelation", "total_correlation"]

_N_FOLDS, _N_REFERENCES, _N_BLOCKS, _N_BOOTSTRAP = 4, 4, 64, 400
_MIN_ROWS = 80  # of a condition
_CONFIDENCE = 0.99
_UNRESOLVED = 0.5  # saturated if the ratio of more than this fraction of samples is not resolved
_ROWS = 4096
_N_PRODUCTS, _LARGEST = 64, 10.0  # of three residuals, shown to the network; their bound


class SaturationWarning(UserWarning):
    """The correlation is more than the samples can resolve: the estimate is too low."""


@dataclass(frozen=True)
class TotalCorrelationAt:
    """Total correlation at one condition.

    The standard error of the plug-in estimate is that of the average over rows; the bias of the
    learned ratio is not in it: it is neither an upper nor a lower bound.
    """

    nats: Estimate
    lower: float  #: One-sided 99 % lower confidence limit, nats.
    saturated: bool  #: Whether it is too low because the samples cannot resolve the ratio.

    def __str__(self) -> str:
        text = f"{self.nats.value:8.3f} ± {self.nats.stderr:.3f}   above {self.lower:8.3f}"
        return text + ("   saturated" if self.saturated else "")


@dataclass(frozen=True)
class TotalCorrelation(TotalCorrelationAt):
    """Total correlation, averaged over all rows and at every condition; prints as a table.

    ``one_point``, nats, are coefficients of ln(p/q) on the residual of each site: (n_sites,); for
    directors (the five components of ``n n^T``) and categories (n_sites, n_values). ``two_point``
    are those on products of residuals: (n_sites, n_sites), symmetric with zero diagonal.
    """

    by_condition: dict  #: `TotalCorrelationAt` at every condition, a float or a tuple of several.
    one_point: np.ndarray = field(repr=False)
    two_point: np.ndarray = field(repr=False)
    null: Estimate | None  #: The same where joint and reference have one law: should be 0.

    def __str__(self) -> str:
        lines = ["total correlation (nats)", f"  all rows {super().__str__()}"]
        lines += [f"  {key!s:>8} {value}" for key, value in self.by_condition.items()]
        if self.null is not None:
            lines.append(f"  null     {self.null.value:8.3f} ± {self.null.stderr:.3f}")
        if "saturated" in "".join(lines):
            lines.append("  saturated: more than the samples can resolve, read as a lower bound")
        return "\n".join(lines)


def total_correlation(
    vae: MeanFieldVAE | None,
    X: np.ndarray,
    conditions: np.ndarray | None = None,
    *,
    seed: Seed,
    lattice_shape: tuple[int, int] | None = None,
    n_epochs: int = 20,
    null: bool = False,
) -> TotalCorrelation:
    """Estimate the total correlation of ``X``, or what is left of it given the latent.

    A network learns the logarithm g of the ratio of the joint law to that of independent sites
    through the relative ratio (`mfvae.measure.ratio_network`, α = 0.2). Each row is evaluated by a
    network that was trained on other rows. The estimate is ``E_joint[g]``; the lower limit is that
    of ``E_joint[g] - E_ref[e^g] + 1``, below the total correlation for every g.
    The network sees pairs of sites, and sites that products of three tie where no pair does: words
    of two letters have such sites counted in groups, and the reference keeps the groups; given a
    latent, their products are shown to the network. What only more sites together share it may
    miss. A `SaturationWarning` says if most ratios are more than the reference samples can resolve.

    Args:
        vae: A trained model: joint rows (x, z) with z ~ q(z|x), reference x ~ prod p_θ(x_i|z) given
            the same z. None: reference are the rows, columns permuted within each condition.
        X: Spins, words, categories (with a model only) or real values (n_samples, n_sites), or
            directors (n_samples, n_sites, 3), that training has not seen; correlated rows in the
            order of their chains, since folds and bootstrap go by consecutive rows.
        conditions: (n_samples,) or (n_samples, n_conditions), at least 80 rows each.
        seed: Source of latents, references, initial weights and bootstrap.
        lattice_shape: Rows and columns of a periodic lattice: the network then also sees the
            correlation of residuals at every small distance.
        n_epochs: Passes through the data; more if the data are few.
        null: Whether to run the estimator once more with one law on both sides.

    >>> from mfvae.systems import CurieWeiss
    >>> system = CurieWeiss(16)
    >>> x = system.sample(1.0, 2000, seed=0)
    >>> found = total_correlation(None, x, seed=1, n_epochs=5)
    >>> bool(found.lower < system.total_correlation(1.0)), found.two_point.shape
    (True, (16, 16))
    """
    if vae is not None:
        check_trained(vae)
    check_count(n_epochs, "n_epochs")
    X = check_finite_array(X, "X", dtype=None)
    if X.ndim not in (2, 3):
        raise ValueError(f"X must have shape (n_samples, n_sites) or (…, 3), got {X.shape}")
    if lattice_shape is not None:
        lattice_shape = check_lattice_shape(lattice_shape, X.shape[1])
    keys, members = zip(*condition_groups(conditions, len(X)), strict=True)
    if min(map(len, members)) < _MIN_ROWS:
        raise ValueError(f"every condition needs at least {_MIN_ROWS} rows")
    groups, folds, blocks = np.empty((3, len(X)), dtype=int)
    for group, rows in enumerate(members):
        groups[rows] = group
        for parts, n_parts in ((folds, _N_FOLDS), (blocks, _N_BLOCKS)):
            for part, consecutive in enumerate(np.array_split(rows, n_parts)):
                parts[consecutive] = part
    draws, training, calibration, resampling = check_seed(seed).spawn(4)
    n_drawn, apart = _N_REFERENCES + bool(null), np.arange(X.shape[1])
    if vae is None:
        apart, table = ratios.tied_groups(X, members), check_conditions(conditions, len(X))
        values, mean = _independent_sites(X, members, n_drawn, draws, apart)
        unit = np.where(np.ptp(table, axis=0) > 0, table.std(axis=0), 1)
        table = torch.from_numpy((table - table.mean(axis=0)) / unit).float()
        summaries = [table] * len(values)
    else:
        values, mean, summaries = _given_latent(vae, X, conditions, n_drawn, draws)
    residuals = [value - mean for value in values]
    variance = torch.stack([r.square().mean(dim=(0, 2)) for r in residuals[1:]]).mean(dim=0)
    # A site that hardly ever changes would come out with huge, rare values: a floor.
    spread = variance.clamp_min(0.1 * float(variance.mean()) + 1e-12).sqrt()[None, :, None]
    residuals = [residual.div_(spread) for residual in residuals]
    sites, seen = [residual.flatten(1) for residual in residuals], [summaries]
    if lattice_shape is not None:
        seen.append([ratios.autocorrelation(r, lattice_shape) for r in residuals])
    if vae is not None and len(triples := ratios.tied_triples(sites[0])[:_N_PRODUCTS]):
        seen.append([u[:, triples].prod(dim=2).clamp(-_LARGEST, _LARGEST) for u in sites])
    samples = [TensorDataset(u, torch.cat(s, dim=1)) for u, *s in zip(sites, *seen, strict=True)]
    drawn, spare = samples[: 1 + _N_REFERENCES], [samples[-1], *samples[1 : 1 + _N_REFERENCES]]
    with torch.random.fork_rng(devices=[]):
        on_joint, on_references = ratios.cross_fit(drawn, folds, groups, n_epochs, training)
        at_null = ratios.cross_fit(spare, folds, groups, n_epochs, calibration) if null else None
    rng = np.random.default_rng(resampling)
    (gain, at_reference), excess = ratios.log_ratio_within(values[:2], members, folds, apart)
    every = np.arange(len(X))
    overall, *each = (
        _summarize(on_joint[r], on_references[:, r], blocks[r], rng, gain[r], excess[r])
        for r in (every, *(members if conditions is not None else ()))
    )
    names = (float(key[0]) if len(key) == 1 else tuple(key.tolist()) for key in keys)
    by_condition = dict(zip(names, each, strict=False))
    unresolved = [name for name, found in by_condition.items() if found.saturated]
    on_both = np.concatenate([on_joint + gain, on_references[0] + at_reference])
    one_point, two_point = ratios.attribute(torch.cat(residuals[:2]), torch.from_numpy(on_both))
    if overall.saturated or unresolved:
        warnings.warn(
            f"the total correlation is more than {len(X)} samples can resolve (at conditions "
            f"{unresolved}): the estimate is too low, read it as a lower bound",
            SaturationWarning,
            stacklevel=2,
        )
    calibrated = _summarize(*at_null, blocks, rng).nats if null else None
    one_point = one_point[:, 0] if one_point.shape[1] == 1 else one_point
    learned = {"one_point": one_point, "two_point": two_point, "null": calibrated}
    return TotalCorrelation(**vars(overall), by_condition=by_condition, **learned)


def _summarize(on_joint, on_references, blocks, rng, gain=0.0, excess=0.0) -> TotalCorrelationAt:
    """Estimate, lower limit and whether it is saturated, from held-out log ratios of all rows."""
    # The bound holds for every g, so also for g cut where e^g would be carried by a few rows.
    cut = ratios.log_resolved(on_references.size)
    weights = np.exp(np.minimum(on_references, cut)).mean(axis=0)
    total, bounded = on_joint + gain, np.minimum(on_joint, cut) - weights + 1 + gain - excess
    n_rows = np.bincount(blocks)
    plug_in, bound = (np.bincount(blocks, values) / n_rows for values in (total, bounded))
    n_blocks = len(n_rows)
    picks = rng.integers(n_blocks, size=(_N_BOOTSTRAP, n_blocks))
    stderr = plug_in[picks].mean(axis=1).std(ddof=1)
    # A weight of size W that no row shows may still have the probability ln(100) / n_rows.
    unseen = -np.log(1 - _CONFIDENCE) * weights.max() / on_references.size
    spread = bound.std(ddof=1) / np.sqrt(n_blocks)
    lower = bound.mean() - student.ppf(_CONFIDENCE, n_blocks - 1) * spread - unseen
    nats = Estimate(total.mean(), stderr=stderr, exact=False)
    return TotalCorrelationAt(nats, float(lower), bool(np.mean(on_joint > cut) > _UNRESOLVED))


def _independent_sites(
    X: np.ndarray, members: tuple, n_references: int, seed: Seed, apart: np.ndarray
) -> tuple[list[Tensor], Tensor]:
    """Configurations, and the same with every group of columns permuted; their mean.

    Within each condition and fold: a training fold never holds a value of a row that is evaluated.
    """
    if X.ndim == 3:
        directors = torch.from_numpy(check_directors(X, "X").astype(np.float32))
        values = to_components(directors[..., :, None] * directors[..., None, :])
    else:
        values = torch.from_numpy(X.astype(np.float32))[..., None]
    mean = torch.empty_like(values)
    for rows in members:
        mean[rows] = values[rows].mean(dim=0)
    samples, rng = [values], np.random.default_rng(seed)
    sites, (names, group) = torch.arange(values.shape[1]), np.unique(apart, return_inverse=True)
    for _ in range(n_references):
        source = np.empty(values.shape[:2], dtype=np.int64)
        for rows in (fold for member in members for fold in np.array_split(member, _N_FOLDS)):
            source[rows] = rng.permuted(np.tile(rows[:, None], len(names)), axis=0)[:, group]
        samples.append(values[torch.from_numpy(source), sites])
    return samples, mean


def _given_latent(
    vae: MeanFieldVAE, X: np.ndarray, conditions: np.ndarray | None, n_references: int, seed: Seed
) -> tuple[list, Tensor, list]:
    """Configurations with z ~ q(z|x), and x ~ prod p(x_i|z), same z; their means; summaries.

    These are the latents, the conditions and the gradient of ln p(x|z) along the latents, which
    tells whether z is where x would put it.
    """
    decoder, likelihood = vae.module_.decoder, vae.module_.likelihood
    x, c = vae.as_tensors(X, conditions)
    mean, deviation = (torch.from_numpy(part) for part in vae.encode(X, conditions))
    generator = torch.Generator().manual_seed(int(seed.generate_state(1)[0]))
    z = mean + deviation * torch.randn(mean.shape, generator=generator)
    with torch.no_grad():
        parts = [decoder(part) for part in z.split(_ROWS)]
        means = torch.cat([likelihood.mean(part) for part in parts])
        drawn = ([likelihood.sample(p, generator) for p in parts] for _ in range(n_references))
        samples = [x, *map(torch.cat, drawn)]
    if means.ndim == 2:
        values = [torch.as_tensor(likelihood.restore(s)).float()[..., None] for s in samples]
        means = means[..., None]
    else:  # directors, categories
        values = [likelihood.statistics(sample).float() for sample in samples]
        means = to_components(means) if means.ndim == 4 else means

    def score(z: Tensor, x: Tensor) -> Tensor:
        z = z.detach().requires_grad_()
        return torch.autograd.grad(likelihood.log_prob(decoder(z), x).sum(), z)[0]

    scores = [torch.cat([*map(score, z.split(_ROWS), s.split(_ROWS))]) for s in samples]
    unit = torch.stack([score.square().mean(dim=0) for score in scores[1:]]).mean(dim=0).sqrt()
    latents = (z - z.mean(dim=0)) / z.std(dim=0).clamp_min(1e-6)
    summaries = [torch.cat([latents, c, score / (unit + 1e-6)], dim=1) for score in scores]
    return values, means, summaries
