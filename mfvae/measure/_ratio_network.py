"""The logarithm of a density ratio, learned by a small network and evaluated held out.

Two samples, "joint" and "reference", of laws p and q. The network g estimates ln(p/q) through the
relative ratio ``r = 1 / (α + (1 - α) e^{-g})``, which is bounded by 1/α and minimises
``E_mix[r] - E_p[ln r]`` with ``mix = α p + (1 - α) q`` (Yamada et al. 2013; Nguyen, Wainwright &
Jordan 2010). Every row is evaluated by a network that has not been trained on it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from mfvae.vae.model import seeded_initialization

__all__ = ["Inputs", "RatioNetwork", "cross_fit", "log_resolved"]

_VALIDATION = 0.1  # of the training rows, to keep the best epoch
_N_CHECKS = 20
_N_DIRECTIONS = 32
_MIN_STEPS = 300
_ROWS = 16384
_RESOLVED = 50  # samples in which a ratio's inverse should be seen


def log_resolved(n_samples: int) -> float:
    """Return the largest ln(p/q) whose inverse so many reference samples can show."""
    return math.log(max(n_samples / _RESOLVED, 2.0))


@dataclass
class Inputs:
    """What the network sees of the rows of one sample.

    Attributes:
        sites (torch.Tensor): ``(n_samples, n_values)`` float32, the values at all sites, centred
            and scaled.
        summaries (torch.Tensor): ``(n_samples, n_summaries)`` float32: latents, conditions and
            other numbers of a row.
    """

    sites: torch.Tensor
    summaries: torch.Tensor

    def __getitem__(self, rows: torch.Tensor) -> Inputs:
        return Inputs(self.sites[rows], self.summaries[rows])

    def __len__(self) -> int:
        return len(self.sites)


class RatioNetwork(nn.Module):
    """ln(p/q) from directions across the sites, their squares, and the summaries.

    Squares, because the logarithm of a ratio of Gaussians is a quadratic form; two softplus
    layers on top for everything else. The directions are those that the data single out
    (`_principal`) and are not trained: learned or random ones fit the noise of all pairs, which
    costs a tenth of the estimate.

    Args:
        directions (torch.Tensor): ``(n_directions, n_values)`` float32.
        n_summaries (int): Width of the second input.
        width (int): Number of units in each hidden layer.
    """

    def __init__(self, directions: torch.Tensor, n_summaries: int, width: int = 32) -> None:
        super().__init__()
        self.register_buffer("directions", directions)
        n_features = 2 * len(directions) + 1 + n_summaries
        self.linear = nn.Linear(n_features, 1)
        self.network = nn.Sequential(
            nn.Linear(n_features, width),
            nn.Softplus(),
            nn.Linear(width, width),
            nn.Softplus(),
            nn.Linear(width, 1, bias=False),
        )
        for last in (self.linear, self.network[-1]):
            nn.init.zeros_(last.weight)

    def forward(self, inputs: Inputs) -> torch.Tensor:
        """Return ln(p/q) of each row, ``(n_samples,)`` nats."""
        along = inputs.sites @ self.directions.T
        n_values = inputs.sites.shape[1]
        # The length of a row stands for all directions that are not among those given.
        length = (inputs.sites.square().sum(dim=1, keepdim=True) - n_values) / n_values**0.5
        features = torch.cat([along, along**2 - 1, length, inputs.summaries], dim=1)
        return (self.linear(features) + self.network(features)).squeeze(1)


def relative_loss(joint: torch.Tensor, reference: torch.Tensor, alpha: float) -> torch.Tensor:
    """Return ``E_mix[r] - E_joint[ln r]`` from the values of ln(p/q) on both samples."""
    log_alpha, log_rest = math.log(alpha), math.log1p(-alpha)

    def log_ratio(g: torch.Tensor) -> torch.Tensor:
        return -torch.logaddexp(torch.full_like(g, log_alpha), log_rest - g)

    on_joint, on_reference = log_ratio(joint), log_ratio(reference)
    mixture = alpha * on_joint.exp().mean() + (1 - alpha) * on_reference.exp().mean()
    return mixture - on_joint.mean()


@torch.no_grad()
def _evaluate(network: RatioNetwork, inputs: Inputs, rows: torch.Tensor) -> torch.Tensor:
    return torch.cat([network(inputs[part]) for part in rows.split(_ROWS)])


def _principal(sites: torch.Tensor) -> torch.Tensor:
    """Return the directions along which the variance is furthest from the reference's, 1.

    Only those outside the band in which independent sites would have it (Marchenko & Pastur):
    inside, directions are chosen by noise.
    """
    variance, directions = torch.linalg.eigh(sites.T @ sites / len(sites))
    noise = math.sqrt(sites.shape[1] / len(sites))
    order = torch.argsort((variance - 1).abs(), descending=True)
    known = (variance[order] - 1).abs() > 2 * noise + noise**2
    return directions.T[order[known]][:_N_DIRECTIONS]


def _train(
    joint: Inputs,
    references: list[Inputs],
    rows: torch.Tensor,
    *,
    alpha: float,
    n_epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: np.random.SeedSequence,
) -> RatioNetwork:
    weights, order = (int(state) for state in seed.generate_state(2))
    generator = torch.Generator().manual_seed(order)
    rows = rows[torch.randperm(len(rows), generator=generator)]
    held_out, rows = rows.tensor_split([max(1, int(_VALIDATION * len(rows)))])
    with seeded_initialization(weights):
        network = RatioNetwork(_principal(joint.sites[rows]), joint.summaries.shape[1])
    n_batches = max(1, len(rows) // batch_size)
    n_epochs = max(n_epochs, -(-_MIN_STEPS // n_batches))
    # The quadratic part is learned first: few numbers, and most of what there is to find.
    rates = {network.linear: 2.0, network.network: 0.2}
    parts = [{"params": part.parameters()} for part in rates]
    optimizer = torch.optim.AdamW(parts, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        [rate * learning_rate for rate in rates.values()],
        total_steps=n_epochs * n_batches + 1,
    )
    best, kept, every = math.inf, None, -(-n_epochs // _N_CHECKS)
    for epoch in range(n_epochs):
        reference = references[epoch % len(references)]
        shuffled = rows[torch.randperm(len(rows), generator=generator)]
        for batch in shuffled.tensor_split(n_batches):
            loss = relative_loss(network(joint[batch]), network(reference[batch]), alpha)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        if (epoch + 1) % every and epoch + 1 < n_epochs:
            continue
        on_joint = _evaluate(network, joint, held_out)
        on_references = torch.cat([_evaluate(network, r, held_out) for r in references])
        for scale in (0.0, 0.5, 1.0):
            loss = float(relative_loss(scale * on_joint, scale * on_references, alpha))
            if loss < best:
                weights = {k: v.clone() for k, v in network.state_dict().items()}
                best, kept = loss, (scale, weights)
    scale, weights = kept
    network.load_state_dict(weights)
    for last in (network.linear, network.network[-1]):
        for parameter in last.parameters():
            parameter.data.mul_(scale)
    return network


def _log_mean(weights: torch.Tensor) -> float:
    """Return ln of the mean of the weights; if that is below 0, of its upper limit, at most 0.

    Rare large weights are missing from most samples: too small a mean may be no one's fault.
    """
    mean = float(weights.mean())
    error = 2 * float(weights.std()) / math.sqrt(weights.numel())
    missing = 5 * float(weights.max()) / weights.numel()
    return math.log(max(mean, min(1.0, mean + error + missing)))


def cross_fit(
    joint: Inputs,
    references: list[Inputs],
    folds: np.ndarray,
    groups: np.ndarray,
    *,
    alpha: float = 0.2,
    n_epochs: int = 20,
    batch_size: int = 512,
    learning_rate: float = 5e-3,
    seed: np.random.SeedSequence,
) -> tuple[np.ndarray, np.ndarray]:
    """Return ln(p/q) of every row, each by a network trained on the other folds.

    Args:
        joint (Inputs): Rows of the law p.
        references (list of Inputs): Samples of the law q, as many rows each; row n belongs to the
            fold of row n of ``joint`` and may share its summaries.
        folds (numpy.ndarray): ``(n_samples,)`` int, the fold of each row.
        groups (numpy.ndarray): ``(n_samples,)`` int from 0: within each group, that is at each
            condition, a constant is added to ln(p/q) that brings the mean of p/q over the reference
            rows *of the training* to 1, as far as their number allows to say.
        alpha (float): Weight of p in the mixture; the ratio that is learned is at most 1/alpha.
        n_epochs, batch_size, learning_rate: Of the training.
        seed (numpy.random.SeedSequence): Source of initial weights and order.

    Returns:
        (numpy.ndarray, numpy.ndarray): On the joint rows ``(n_samples,)``, and on the reference
            rows ``(n_references, n_samples)``; float64 nats.
    """
    names = np.unique(folds)
    on_joint = np.empty(len(joint))
    on_references = np.empty((len(references), len(joint)))
    for fold, child in zip(names, seed.spawn(len(names)), strict=True):
        rows, held_out = (
            torch.from_numpy(np.flatnonzero(m)) for m in (folds != fold, folds == fold)
        )
        network = _train(
            joint,
            references,
            rows,
            alpha=alpha,
            n_epochs=n_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            seed=child,
        )
        trained = torch.stack([_evaluate(network, r, rows) for r in references]).double()
        shifts = np.empty(groups.max() + 1)
        for group in range(len(shifts)):
            part = trained[:, torch.from_numpy(groups[folds != fold] == group)]
            shifts[group] = _log_mean(part.clamp(max=log_resolved(part.numel())).exp())
        shift = torch.from_numpy(shifts[groups[folds == fold]])
        on_joint[held_out] = _evaluate(network, joint, held_out).double() - shift
        for values, reference in zip(on_references, references, strict=True):
            values[held_out] = _evaluate(network, reference, held_out).double() - shift
    return on_joint, on_references
