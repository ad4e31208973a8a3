"""What correlations are left: total correlation by a relative density ratio.

``TC(x) = KL(p(x) || prod p(x_i))``, or given the latent of a VAE
``TC(x|z) = E_z KL(q(x|z) || prod p_θ(x_i|z))``, from samples alone. A sample is seen through its
residuals: the values at the sites less their mean under the reference, in units of their spread.
"""

from __future__ import annotations

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
from mfvae.measure.ratio_network import attribute, autocorrelation, cross_fit, log_resolved
from mfvae.measure.supply import condition_groups
from mfvae.measure.tied_sites import log_ratio_within, tied_groups, tied_triples
from mfvae.systems.base import Estimate
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
    """Total correlation at one condition; attributes as in `TotalCorrelation`."""

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
        nats: Plug-in estimate, with the bootstrap's standard error (of the average over rows; the
            bias of the learned ratio is not in it). Neither an upper nor a lower bound.
        lower: One-sided 99 % lower confidence limit, nats.
        saturated: Whether the estimate is too low because the samples cannot resolve the ratio.
        by_condition: ``nats``, ``lower`` and ``saturated`` at every condition, if there are any:
            keys are floats, or tuples of several conditions.
        one_point: Coefficients of ln(p/q) on the residual of each site, nats: (n_sites,); for
            directors (the five components of ``n n^T``) and categories (n_sites, n_values).
        two_point: Those on the product of the residuals of two sites, nats: (n_sites, n_sites),
            symmetric with zero diagonal.
        null: The same estimator where joint and reference have one law: should be 0; or None.
        log_ratio: ``(n_samples,)`` held-out ln(p/q) of each row, nats.
    """

    by_condition: dict
    one_point: np.ndarray = field(repr=False)
    two_point: np.ndarray = field(repr=False)
    null: Estimate | None
    log_ratio: np.ndarray = field(repr=False)

    def __str__(self) -> str:
        lines = ["total correlation (nats)", f"  all rows {super().__str__()}"]
        lines += [f"  {key!s:>8} {value}" for key, value in self.by_condition.items()]
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

    A network learns the logarithm g of the ratio of the joint law to that of independent sites
    through the relative ratio ``r = p / (α p + (1-α) q) <= 1/α``, the minimiser of ``E_mix[r] -
    E_joint[ln r]`` (Yamada et al. 2013, eq. 4; Nguyen, Wainwright & Jordan 2010), α = 0.2. Each row
    is evaluated by a network that was trained on other rows. The estimate is ``E_joint[g]``; the
    lower limit is that of ``E_joint[g] - E_ref[e^g] + 1``, below the total correlation for every g.
    The network sees pairs of sites, and sites that products of three tie where no pair does: words
    of two letters have such sites counted in groups, and the reference keeps the groups; given a
    latent, their products are shown to the network. What only more sites together share it may
    miss. A `SaturationWarning` says if most ratios are more than the reference samples can resolve.

    Args:
        vae: A trained model: joint rows (x, z) with z ~ q(z|x), reference x ~ prod p_θ(x_i|z) given
            the same z. None: unconditional, reference are the rows with every column permuted
            (within each condition).
        X: Spins, words, categories (with a model only) or real values (n_samples, n_sites), or
            directors (n_samples, n_sites, 3), that training has not seen. Correlated rows should
            stand in the order of their chains: folds and bootstrap go by consecutive rows.
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
    if min(len(rows) for rows in members) < _MIN_ROWS:
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
        table = check_conditions(conditions, len(X))
        apart = tied_groups(X, members)
        values, mean, summaries = _independent_sites(X, table, members, n_drawn, draws, apart)
    else:
        values, mean, summaries = _given_latent(vae, X, conditions, n_drawn, draws)
    residuals = [value - mean for value in values]
    variance = torch.stack([r.square().mean(dim=(0, 2)) for r in residuals[1:]]).mean(dim=0)
    # A site that hardly ever changes would come out with huge, rare values: a floor.
    spread = variance.clamp_min(0.1 * float(variance.mean()) + 1e-12).sqrt()[None, :, None]
    residuals = [residual.div_(spread) for residual in residuals]
    if lattice_shape is not None:
        distances = [autocorrelation(r, lattice_shape) for r in residuals]
        summaries = [torch.cat(pair, dim=1) for pair in zip(summaries, distances, strict=True)]
    sites = [residual.flatten(1) for residual in residuals]
    if vae is not None and len(triples := tied_triples(sites[0])[:_N_PRODUCTS]):
        products = [u[:, triples].prod(dim=2).clamp(-_LARGEST, _LARGEST) for u in sites]
        summaries = [torch.cat(pair, dim=1) for pair in zip(summaries, products, strict=True)]
    joint, *drawn = (TensorDataset(*pair) for pair in zip(sites, summaries, strict=True))
    references = drawn[:_N_REFERENCES]
    with torch.random.fork_rng(devices=[]):
        on_joint, on_references = cross_fit(joint, references, folds, groups, n_epochs, training)
        if null:
            at_null = cross_fit(drawn[-1], references, folds, groups, n_epochs, calibration)
    rng = np.random.default_rng(resampling)
    (gain, at_reference), excess = log_ratio_within(values[:2], members, folds, apart)
    overall = _summarize(on_joint, on_references, blocks, rng, gain, excess)
    names = [float(key[0]) if len(key) == 1 else tuple(key.tolist()) for key in keys]
    by_condition = {
        name: _summarize(
            on_joint[rows], on_references[:, rows], blocks[rows], rng, gain[rows], excess[rows]
        )
        for name, rows in zip(names, members, strict=True)
        if conditions is not None
    }
    unresolved = [name for name, found in by_condition.items() if found.saturated]
    on_both = np.concatenate([on_joint + gain, on_references[0] + at_reference])
    one_point, two_point = attribute(torch.cat(residuals[:2]), torch.from_numpy(on_both))
    if overall.saturated or unresolved:
        warnings.warn(
            f"the total correlation is more than {len(X)} samples can resolve (at conditions "
            f"{unresolved}): the estimate is too low, read it as a lower bound",
            SaturationWarning,
            stacklevel=2,
        )
    return TotalCorrelation(
        **vars(overall),
        by_condition=by_condition,
        one_point=one_point[:, 0] if one_point.shape[1] == 1 else one_point,
        two_point=two_point,
        null=_summarize(*at_null, blocks, rng).nats if null else None,
        log_ratio=on_joint + gain,
    )


def _summarize(
    on_joint: np.ndarray,
    on_references: np.ndarray,
    blocks: np.ndarray,
    rng: np.random.Generator,
    gain: np.ndarray | float = 0.0,
    excess: np.ndarray | float = 0.0,
) -> TotalCorrelationAt:
    """Estimate, lower limit and whether it is saturated, from held-out log ratios."""
    # The bound holds for every g, so also for g cut where e^g would be carried by a few rows.
    cut = log_resolved(on_references.size)
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


#: Values of the joint law first, then of each reference sample, float32 (n_samples, n_sites,
#: n_values); their mean under the reference; summaries of each, float32 (n_samples, n_summaries).
Samples = tuple[list[Tensor], Tensor, list[Tensor]]


def _independent_sites(
    X: np.ndarray,
    conditions: np.ndarray,
    members: tuple[np.ndarray, ...],
    n_references: int,
    seed: np.random.SeedSequence,
    apart: np.ndarray,
) -> Samples:
    """Configurations, and as references the same with every group of columns permuted.

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
            permuted = rng.permuted(np.tile(rows[:, None], len(names)), axis=0)
            source[rows] = permuted[:, group]
        samples.append(values[torch.from_numpy(source), sites])
    spread = np.where(np.ptp(conditions, axis=0) > 0, conditions.std(axis=0), 1.0)
    summary = torch.from_numpy((conditions - conditions.mean(axis=0)) / spread).float()
    return samples, mean, [summary] * len(samples)


def _given_latent(
    vae: MeanFieldVAE,
    X: np.ndarray,
    conditions: np.ndarray | None,
    n_references: int,
    seed: np.random.SeedSequence,
) -> Samples:
    """Configurations with z ~ q(z|x), and as references x ~ prod p(x_i|z), same z.

    Summaries are the latents, the conditions and the gradient of ln p(x|z) along the latents,
    which tells whether z is where x would put it.
    """
    decoder, likelihood = vae.module_.decoder, vae.module_.likelihood
    x, c = vae.as_tensors(X, conditions)
    mean, deviation = (torch.from_numpy(part) for part in vae.encode(X, conditions))
    generator = torch.Generator().manual_seed(int(seed.generate_state(1)[0]))
    z = mean + deviation * torch.randn(mean.shape, generator=generator)
    with torch.no_grad():
        parts = [decoder(part) for part in z.split(_ROWS)]
        means = [likelihood.mean(part) for part in parts]
        means = torch.cat([to_components(mean) if mean.ndim == 4 else mean for mean in means])
        samples = [x] + [
            torch.cat([likelihood.sample(part, generator) for part in parts])
            for _ in range(n_references)
        ]
    if means.ndim == 3:  # directors, categories
        values = [likelihood.statistics(sample).float() for sample in samples]
    else:
        means = means[..., None]
        letters = (np.asarray(likelihood.restore(s), dtype=np.float32) for s in samples)
        values = [torch.from_numpy(sample)[..., None] for sample in letters]

    def score(sample: Tensor) -> Tensor:
        gradients = []
        for z_part, x_part in zip(z.split(_ROWS), sample.split(_ROWS), strict=True):
            z_part = z_part.detach().requires_grad_()
            total = likelihood.log_prob(decoder(z_part), x_part).sum()
            gradients.append(torch.autograd.grad(total, z_part)[0])
        return torch.cat(gradients)

    scores = [score(sample) for sample in samples]
    unit = torch.stack([score.square().mean(dim=0) for score in scores[1:]]).mean(dim=0).sqrt()
    latents = (z - z.mean(dim=0)) / z.std(dim=0).clamp_min(1e-6)
    summaries = [torch.cat([latents, c, score / (unit + 1e-6)], dim=1) for score in scores]
    return values, means, summaries
