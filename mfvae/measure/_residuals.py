"""Joint and reference samples of a total correlation, seen through their residuals.

Residuals are the values at the sites less their mean under the reference, in units of their
spread: spins, words and real values give one value a site, directors the five components of
``n n^T``, categories one value a letter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mfvae._validation import check_directors, check_finite_array
from mfvae.measure._ratio_network import Inputs
from mfvae.vae.director_likelihood import to_components
from mfvae.vae.estimator import MeanFieldVAE
from mfvae.vae.likelihood import Categorical, Likelihood

__all__ = ["Samples", "given_latent", "independent_sites"]

_ROWS = 4096
_RADIUS = 4  # of the displacements on a lattice


@dataclass
class Samples:
    """Residuals and summaries: of the joint law first, then of each reference sample.

    Attributes:
        residuals (list of torch.Tensor): Each ``(n_samples, n_sites, n_values)`` float32.
        summaries (list of torch.Tensor): Each ``(n_samples, n_summaries)`` float32.
    """

    residuals: list[torch.Tensor]
    summaries: list[torch.Tensor]

    def inputs(self, lattice_shape: tuple[int, int] | None) -> list[Inputs]:
        """Return what the network sees; on a lattice with the correlation at each distance."""
        result = []
        for residual, summary in zip(self.residuals, self.summaries, strict=True):
            if lattice_shape is not None:
                summary = torch.cat([summary, _autocorrelation(residual, lattice_shape)], dim=1)
            result.append(Inputs(residual.flatten(1), summary))
        return result


def _autocorrelation(residual: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """Return ``Σ_x u_x u_{x+r} / √N`` for displacements r up to a few sites on the torus."""
    n_sites = residual.shape[1]
    kept = [
        (a, b)
        for a in range(min(_RADIUS, shape[0] // 2) + 1)
        for b in range(-min(_RADIUS, (shape[1] - 1) // 2), min(_RADIUS, shape[1] // 2) + 1)
        if a > 0 or b > 0
    ]
    rows, columns = torch.tensor(kept).T
    parts = []
    for part in residual.split(_ROWS):
        lattice = part.transpose(1, 2).unflatten(2, shape)
        power = torch.fft.rfft2(lattice).abs().square().sum(dim=1)
        correlation = torch.fft.irfft2(power, s=shape)[:, rows, columns % shape[1]]
        parts.append(correlation / n_sites**0.5)
    return torch.cat(parts)


def _scaled(values: list[torch.Tensor], mean: torch.Tensor) -> list[torch.Tensor]:
    """Subtract the mean; divide by the spread of each site over the references."""
    residuals = [value - mean for value in values]
    variance = torch.stack([r.square().mean(dim=(0, 2)) for r in residuals[1:]]).mean(dim=0)
    # A site that hardly ever changes would come out with huge, rare values: a floor.
    spread = variance.clamp_min(0.1 * float(variance.mean()) + 1e-12).sqrt()[None, :, None]
    return [r.div_(spread) for r in residuals]


def _groups(conditions: np.ndarray) -> np.ndarray:
    return np.unique(conditions, axis=0, return_inverse=True)[1].ravel()


def independent_sites(
    X: np.ndarray,
    conditions: np.ndarray,
    folds: np.ndarray,
    n_references: int,
    rng: np.random.Generator,
) -> Samples:
    """Return configurations, and as references the same with every column permuted.

    Columns are permuted within each condition and fold, so that a training fold never holds
    a value of a row that is evaluated.
    """
    X = check_finite_array(X, "X", dtype=np.float32)
    if X.ndim == 3:
        directors = torch.from_numpy(check_directors(X, "X", ndim=3).astype(np.float32))
        values = to_components(directors[..., :, None] * directors[..., None, :])
    elif X.ndim == 2:
        values = torch.from_numpy(X)[..., None]
    else:
        raise ValueError(f"X must have shape (n_samples, n_sites) or (…, 3), got {X.shape}")
    groups = _groups(conditions)
    mean = torch.empty_like(values)
    for group in range(groups.max() + 1):
        rows = torch.from_numpy(groups == group)
        mean[rows] = values[rows].mean(dim=0)
    samples = [values]
    cells = _groups(np.stack([groups, folds], axis=1))
    members = [np.flatnonzero(cells == cell) for cell in range(cells.max() + 1)]
    sites = torch.arange(values.shape[1])
    for _ in range(n_references):
        source = np.empty(values.shape[:2], dtype=np.int64)
        for rows in members:
            source[rows] = rng.permuted(np.tile(rows[:, None], values.shape[1]), axis=0)
        samples.append(values[torch.from_numpy(source), sites])
    spread = np.where(np.ptp(conditions, axis=0) > 0, conditions.std(axis=0), 1.0)
    summary = torch.from_numpy((conditions - conditions.mean(axis=0)) / spread).float()
    return Samples(_scaled(samples, mean), [summary] * len(samples))


def _values(likelihood: Likelihood, x: torch.Tensor) -> torch.Tensor:
    if likelihood.data_ndim == 3 or isinstance(likelihood, Categorical):
        return likelihood.statistics(x).float()
    return torch.from_numpy(np.asarray(likelihood.restore(x), dtype=np.float32))[..., None]


def _means(likelihood: Likelihood, parameters: torch.Tensor) -> torch.Tensor:
    mean = likelihood.mean(parameters)
    if likelihood.data_ndim == 3:
        return to_components(mean)
    return mean if isinstance(likelihood, Categorical) else mean[..., None]


def _scores(module, z: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return the gradient of ln p(x | z) with respect to z, ``(n_samples, n_latents)``."""
    parts = []
    for z_part, x_part in zip(z.split(_ROWS), x.split(_ROWS), strict=True):
        z_part = z_part.detach().requires_grad_()
        total = module.likelihood.log_prob(module.decoder(z_part), x_part).sum()
        parts.append(torch.autograd.grad(total, z_part)[0])
    return torch.cat(parts)


def given_latent(
    vae: MeanFieldVAE,
    X: np.ndarray,
    conditions: np.ndarray | None,
    n_references: int,
    seed: np.random.SeedSequence,
) -> Samples:
    """Return configurations with z ~ q(z|x), and as references x ~ prod p(x_i|z), same z.

    Summaries are the latents, the conditions and the gradient of ln p(x|z) along the latents,
    which tells whether z is where x would put it.
    """
    module = vae.module_
    x, c = vae.as_tensors(X, conditions)
    mean, deviation = (torch.from_numpy(part) for part in vae.encode(X, conditions))
    generator = torch.Generator().manual_seed(int(seed.generate_state(1)[0]))
    z = mean + deviation * torch.randn(mean.shape, generator=generator)
    with torch.no_grad():
        parts = [module.decoder(part) for part in z.split(_ROWS)]
        means = torch.cat([_means(module.likelihood, part) for part in parts])
        samples = [x] + [
            torch.cat([module.likelihood.sample(part, generator) for part in parts])
            for _ in range(n_references)
        ]
    values = [_values(module.likelihood, sample) for sample in samples]
    scores = [_scores(module, z, sample) for sample in samples]
    unit = torch.stack([score.square().mean(dim=0) for score in scores[1:]]).mean(dim=0).sqrt()
    latents = (z - z.mean(dim=0)) / z.std(dim=0).clamp_min(1e-6)
    summaries = [torch.cat([latents, c, score / (unit + 1e-6)], dim=1) for score in scores]
    return Samples(_scaled(values, means), summaries)
