"""How probable is this configuration? ELBO, importance weighting, and quadrature.

All three estimate ``ln p(x | c) = ln ∫ dz p(z | c) p(x | z)`` in nats: the ELBO by the mean of the
log weights ``ln w = ln p(x|z) + ln p(z|c) - ln q(z|x,c)``, z ~ q; IWAE by the log of the mean
weight (Burda, Grosse & Salakhutdinov 2016), a tighter lower bound on average; quadrature, for one
or two latents, by panels of Gauss-Legendre nodes refined until the value settles.
"""

import copy
import math
import warnings
from collections.abc import Callable
from itertools import count, pairwise
from typing import Any

import numpy as np
import torch
from numpy.polynomial.legendre import leggauss
from torch import Tensor

from mfvae.vae.model import LatentVariableModel
from mfvae.vae.prior import Prior, distinct_rows, log_normal

__all__ = ["bound", "check_gain", "log_weights", "panel_rule", "quadrature", "settled_integral"]

_ROWS = 4096  # configurations x latents handled at once
_NODES = 128  # quadrature nodes handled at once for _ROWS rows: 4 MB, not paged in anew each time
_MAX_WIDENINGS = 8


def log_weights(
    model: LatentVariableModel,
    x: Tensor,
    conditions: Tensor,
    n_importance: int,
    generator: torch.Generator,
) -> Tensor:
    """Return the log importance weights ``(n_importance, n_samples)`` of a batch, in nats.

    ``x`` are data as the likelihood keeps them, conditions are standardised, a row each.
    """
    mean, log_variance = model.posterior(x, conditions)
    shape = (n_importance, *mean.shape)
    noise = torch.randn(shape, generator=generator, device=mean.device, dtype=mean.dtype)
    z = (mean + torch.exp(log_variance / 2) * noise).flatten(0, 1)
    log_q = log_normal(noise, log_variance)
    repeated_x = x.repeat(n_importance, *[1] * (x.ndim - 1))
    log_likelihood = model.likelihood.log_prob(model.decoder(z), repeated_x)
    log_prior = model.prior.log_prob(z, conditions.repeat(n_importance, 1))
    return (log_likelihood + log_prior).unflatten(0, log_q.shape) - log_q


@torch.no_grad()
def bound(
    model: LatentVariableModel,
    x: Tensor,
    conditions: Tensor,
    n_importance: int,
    generator: torch.Generator,
    *,
    method: str,
) -> Tensor:
    """Return the bound "elbo" or "iwae" of each configuration, float64 ``(n_samples,)`` nats."""
    reduce = torch.mean if method == "elbo" else torch.logsumexp
    n_rows = max(1, _ROWS // n_importance)
    values = [
        reduce(log_weights(model, *part, n_importance, generator).double(), dim=0)
        for part in zip(x.split(n_rows), conditions.split(n_rows), strict=True)
    ]
    return torch.cat(values) - (0 if method == "elbo" else math.log(n_importance))


def panel_rule(
    low: float, high: float, breakpoints: list[float], spacing: float, order: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights of Gauss-Legendre panels between the breakpoints.

    A panel is at most ``8 * spacing`` wide and has ``order`` nodes more than its width asks for.
    """
    edges = np.unique([low, *(point for point in breakpoints if low < point < high), high])
    nodes, weights = [], []
    for left, right in pairwise(edges):
        n_pieces = max(1, math.ceil((right - left) / (8 * spacing)))
        width = (right - left) / n_pieces
        unit_nodes, unit_weights = leggauss(math.ceil(width / spacing) + order)
        centers = left + width * (np.arange(n_pieces) + 0.5)
        nodes.append((centers[:, None] + width / 2 * unit_nodes).ravel())
        weights.append(np.tile(width / 2 * unit_weights, n_pieces))
    return np.concatenate(nodes), np.concatenate(weights)


def _grid(axes: tuple[np.ndarray, ...], like: Tensor) -> Tensor:
    """Return the points of a product grid, ``(n_points, n_axes)``."""
    points = torch.cartesian_prod(*map(torch.from_numpy, axes))
    return points.reshape(-1, len(axes)).to(like)


def _box(log_integrand, rows, prior, condition, tolerance) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of a box that holds the integrand of every row, and little else.

    A configuration far from what the model expects may pull its latent out of the prior's box. The
    box grows until the integrand on its surface is negligible, then shrinks to where it is not.
    """
    low, high = (np.array(edge.tolist()) for edge in prior.box(condition))
    n_points = 129 if len(low) == 1 else 33
    for _ in range(_MAX_WIDENINGS):
        z = _grid(tuple(np.linspace(low, high, n_points, axis=1)), condition)
        height = condition.new_full((len(z),), -math.inf)
        for part in rows.split(_ROWS):
            joint = log_integrand(part, z)
            height = torch.maximum(height, (joint - joint.amax(1, keepdim=True)).amax(0))
        there = z[height >= math.log(tolerance) - 10.0].cpu().numpy()
        if not np.any((there == low) | (there == high)):
            break
        low, high = low - (high - low) / 4, high + (high - low) / 4
    # What is empty beyond the next grid point is left out, most of a wide prior's box, unless
    # the prior has breakpoints there: between them may lie what the grid does not see.
    step = (high - low) / (n_points - 1)
    for axis, points in enumerate(prior.breakpoints(condition)):
        inside = there[:, axis]
        seen = np.concatenate([inside - step[axis], inside + step[axis], points.cpu().numpy()])
        low[axis], high[axis] = max(low[axis], seen.min()), min(high[axis], seen.max())
    return low, high


def _integrate(log_integrand, rows, prior, condition, box, level: int, max_nodes: int) -> Tensor:
    """Return ln of the integral over z of the integrand of each row."""
    breakpoints = [points.tolist() for points in prior.breakpoints(condition)]
    # Each level adds nodes to every panel: a narrow one must not settle by standing still.
    density = (0.2 / 2**level, 2 + 3 * level)
    rules = [panel_rule(*rule, *density) for rule in zip(*box, breakpoints, strict=True)]
    n_nodes = math.prod(len(nodes) for nodes, _ in rules)
    if n_nodes > max_nodes:
        raise RuntimeError(f"the quadrature would need {n_nodes} nodes, more than {max_nodes}")
    nodes, weights = (_grid(part, condition) for part in zip(*rules, strict=True))
    log_weights = torch.log(weights).sum(dim=1)
    totals = []
    n_chunk = min(32 * _NODES, max(_NODES, _NODES * _ROWS // len(rows)))
    for part in rows.split(_ROWS):
        total = condition.new_full((len(part),), -math.inf)
        for chunk, log_weight in zip(nodes.split(n_chunk), log_weights.split(n_chunk), strict=True):
            joint = log_integrand(part, chunk) + log_weight
            total = torch.logaddexp(total, torch.logsumexp(joint, dim=1))
        totals.append(total)
    return torch.cat(totals)


def settled_integral(
    log_integrand: Callable[[Tensor, Tensor], Tensor],
    rows: Tensor,
    prior: Prior,
    condition: Tensor,
    *,
    tolerance: float = 1e-4,
    max_nodes: int = 2**21,
) -> Tensor:
    """Return ln of the integral over z of a prior density times a smooth function, nats a row.

    Gauss-Legendre panels over a box meet where the prior is not smooth. The spacing of the nodes
    is halved, and every panel given three more, until no row's value changes by more than
    ``tolerance``, or RuntimeError beyond ``max_nodes`` nodes; the value is the finer rule's.

    Args:
        log_integrand: Takes rows and latents ``(n_nodes, n_latents)`` float64 and returns ln of
            the integrand, the prior's density included, ``(n_rows, n_nodes)``.
        rows: What tells one integral from another, one row each.
        prior, condition: The law of one or two latents, in float64, which gives box and
            breakpoints, and one row of its standardised conditions.
    """
    estimate = change = math.inf
    place = (log_integrand, rows, prior, condition)
    box = _box(*place, tolerance)
    for level in count():
        previous = estimate
        try:
            estimate = _integrate(*place, box, level, max_nodes)
        except RuntimeError as error:
            raise RuntimeError(
                f"quadrature did not settle to {tolerance:g} nats (last change "
                f"{change:.2g}): {error}; use method='iwae' or a larger tolerance"
            ) from None
        if (change := float((estimate - previous).abs().max())) <= tolerance:
            return estimate


@torch.no_grad()
def quadrature(model: LatentVariableModel, x: Tensor, conditions: Tensor, **limits: Any) -> Tensor:
    """Return ln p(x | c), float64 ``(n_samples,)`` nats, by integrating over one or two latents.

    Limits (``tolerance``, ``max_nodes``) and errors as in ``settled_integral``.
    """
    if (n_latents := model.prior.n_latents) > 2:
        raise ValueError(f"quadrature needs one or two latents, the model has {n_latents}")
    model = copy.deepcopy(model).double()
    conditions = conditions.double()
    result = torch.empty(len(x), dtype=torch.float64, device=conditions.device)
    groups, membership = distinct_rows(conditions)
    for index, condition in enumerate(groups):
        rows = membership == index
        words, repeats = torch.unique(x[rows], dim=0, return_inverse=True)

        def log_joint(x: Tensor, z: Tensor, condition=condition) -> Tensor:
            log_prior = model.prior.log_prob(z, condition.expand(len(z), -1))
            return model.likelihood.log_prob_matrix(model.decoder(z), x) + log_prior

        estimate = settled_integral(log_joint, words, model.prior, condition[None], **limits)
        result[rows] = estimate[repeats]
    return result


@torch.no_grad()
def check_gain(
    model: LatentVariableModel, x: Tensor, held_out: Tensor, conditions: Tensor, *, seed: int
) -> None:
    """Warn if held-out rows are no more probable than under the sites' own laws in x."""
    rows, generator = held_out[:500], model.generator(seed, 6)
    marginal = model.likelihood.marginal_parameters(x).expand(len(rows), -1, -1)
    gain = bound(model, rows, conditions[:500], 8, generator, method="iwae")
    gain = gain - model.likelihood.log_prob(marginal, rows)
    mean, error = float(gain.mean()), float(gain.std(correction=0)) / len(gain) ** 0.5
    if mean <= 0 or mean + 2 * error < 0.05:
        warnings.warn(
            f"no better than independent sites: held-out rows gain {mean:.3f} ± {error:.3f} nats; "
            "train for more n_steps, or nothing is there to learn",
            stacklevel=4,
        )
