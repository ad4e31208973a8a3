"""How probable is this configuration? ELBO, importance weighting, and quadrature.

All three estimate ``ln p(x | c) = ln ∫ dz p(z | c) p(x | z)`` in nats for the whole
configuration: the ELBO from below by the mean of the log weights
``ln w = ln p(x|z) + ln p(z|c) - ln q(z|x,c)``, z ~ q; IWAE by the log of the mean weight
(Burda, Grosse & Salakhutdinov 2016), a tighter lower bound on average; quadrature, for one
or two latents, by the trapezoidal rule refined until it settles.
"""

from __future__ import annotations

import copy
import math

import torch

from mfvae.vae.model import LOG_TWO_PI, LatentVariableModel

__all__ = ["elbo", "iwae", "log_weights", "quadrature"]

_ROWS = 4096  # configurations x latents handled at once
_NODES = 4096  # quadrature nodes handled at once


def log_weights(
    model: LatentVariableModel,
    x: torch.Tensor,
    conditions: torch.Tensor,
    n_importance: int,
    generator: torch.Generator,
) -> torch.Tensor:
    """Return the log importance weights ``(n_importance, n_samples)`` of a batch, in nats.

    Parameters
    ----------
    model : LatentVariableModel
        The model.
    x, conditions : torch.Tensor
        Data as the likelihood keeps them and standardised conditions, one row a
        configuration.
    n_importance : int
        Latents drawn from q(z | x, c) for each configuration.
    generator : torch.Generator
        Source of the noise.
    """
    mean, log_variance = model.posterior(x, conditions)
    shape = (n_importance, *mean.shape)
    noise = torch.randn(shape, generator=generator, device=mean.device, dtype=mean.dtype)
    z = (mean + torch.exp(log_variance / 2) * noise).flatten(0, 1)
    log_q = -(noise**2 + log_variance + LOG_TWO_PI).sum(dim=-1) / 2
    repeated_x = x.repeat(n_importance, *[1] * (x.ndim - 1))
    log_likelihood = model.likelihood.log_prob(model.decoder(z), repeated_x)
    log_prior = model.prior.log_prob(z, conditions.repeat(n_importance, 1))
    return (log_likelihood + log_prior).unflatten(0, log_q.shape) - log_q


def _batched_log_weights(
    model: LatentVariableModel,
    x: torch.Tensor,
    conditions: torch.Tensor,
    n_importance: int,
    generator: torch.Generator,
):
    n_rows = max(1, _ROWS // n_importance)
    for start in range(0, len(x), n_rows):
        batch = slice(start, start + n_rows)
        yield log_weights(model, x[batch], conditions[batch], n_importance, generator).double()


@torch.no_grad()
def elbo(
    model: LatentVariableModel,
    x: torch.Tensor,
    conditions: torch.Tensor,
    n_importance: int,
    generator: torch.Generator,
) -> torch.Tensor:
    """Return the evidence lower bound of each configuration, ``(n_samples,)`` nats."""
    batches = _batched_log_weights(model, x, conditions, n_importance, generator)
    return torch.cat([weights.mean(dim=0) for weights in batches])


@torch.no_grad()
def iwae(
    model: LatentVariableModel,
    x: torch.Tensor,
    conditions: torch.Tensor,
    n_importance: int,
    generator: torch.Generator,
) -> torch.Tensor:
    """Return the importance-weighted bound of each configuration, ``(n_samples,)`` nats."""
    batches = _batched_log_weights(model, x, conditions, n_importance, generator)
    log_n = math.log(n_importance)
    return torch.cat([torch.logsumexp(weights, dim=0) - log_n for weights in batches])


def _grid_log_sum(
    model: LatentVariableModel,
    x: torch.Tensor,
    condition: torch.Tensor,
    nodes: torch.Tensor,
) -> torch.Tensor:
    """Return ln sum over nodes of p(x | z) p(z | c) for each row of ``x``."""
    total = torch.full((len(x),), -math.inf, dtype=nodes.dtype, device=nodes.device)
    for chunk in nodes.split(_NODES):
        log_prior = model.prior.log_prob(chunk, condition.expand(len(chunk), -1))
        parameters = model.decoder(chunk)
        for start in range(0, len(x), _ROWS):
            rows = slice(start, start + _ROWS)
            joint = model.likelihood.log_prob_matrix(parameters, x[rows]) + log_prior
            total[rows] = torch.logaddexp(total[rows], torch.logsumexp(joint, dim=1))
    return total


def _refine(low: torch.Tensor, step: torch.Tensor, n_intervals: int) -> torch.Tensor:
    """Return the nodes that halving the grid adds: those with an odd index somewhere."""
    index = torch.arange(2 * n_intervals + 1, device=low.device)
    indices = torch.cartesian_prod(*[index] * len(low)).reshape(-1, len(low))
    return low + indices[(indices % 2 == 1).any(dim=1)] * (step / 2)


@torch.no_grad()
def quadrature(
    model: LatentVariableModel,
    x: torch.Tensor,
    conditions: torch.Tensor,
    *,
    tolerance: float = 1e-4,
    max_nodes: int = 2**22,
) -> torch.Tensor:
    """Return ln p(x | c) by a refined trapezoidal rule over one or two latents, in float64.

    The grid covers the prior's box, where all but 1e-12 of its mass lies, and is halved
    until no configuration's value changes by more than ``tolerance`` nats.

    Parameters
    ----------
    model : LatentVariableModel
        A model with one or two latents.
    x, conditions : torch.Tensor
        Data as the likelihood keeps them and standardised conditions.
    tolerance : float
        Largest change, in nats, that the last halving may bring to any configuration.
    max_nodes : int
        Nodes after which refinement is given up.

    Returns
    -------
    torch.Tensor
        ``(n_samples,)`` nats, float64.

    Raises
    ------
    ValueError
        If the model has more than two latents.
    RuntimeError
        If the tolerance is not reached with ``max_nodes`` nodes.
    """
    n_latents = model.prior.n_latents
    if n_latents > 2:
        raise ValueError(f"quadrature needs one or two latents, the model has {n_latents}")
    model = copy.deepcopy(model).double()
    conditions = conditions.double()
    groups, membership = torch.unique(conditions, dim=0, return_inverse=True)
    result = torch.empty(len(x), dtype=torch.float64, device=conditions.device)
    for index, condition in enumerate(groups):
        rows = membership == index
        result[rows] = _settled(model, x[rows], condition[None], tolerance, max_nodes)
    return result


def _settled(
    model: LatentVariableModel,
    x: torch.Tensor,
    condition: torch.Tensor,
    tolerance: float,
    max_nodes: int,
) -> torch.Tensor:
    low, high = model.prior.box(condition)
    n_intervals = 256 if len(low) == 1 else 64
    step = (high - low) / n_intervals
    index = torch.arange(n_intervals + 1, device=low.device)
    indices = torch.cartesian_prod(*[index] * len(low)).reshape(-1, len(low))
    log_sum = _grid_log_sum(model, x, condition, low + indices * step)
    estimate = log_sum + torch.log(step).sum()
    while (2 * n_intervals + 1) ** len(low) <= max_nodes:
        added = _grid_log_sum(model, x, condition, _refine(low, step, n_intervals))
        log_sum = torch.logaddexp(log_sum, added)
        n_intervals, step = 2 * n_intervals, step / 2
        previous, estimate = estimate, log_sum + torch.log(step).sum()
        change = (estimate - previous).abs().max()
        if change <= tolerance:
            return estimate
    raise RuntimeError(
        f"quadrature did not settle to {tolerance:g} nats with {max_nodes} nodes "
        f"(last change {change:.2g}); use method='iwae' or a larger tolerance"
    )
