"""A prior that does not factorise: a mixture of diagonal Gaussians."""

from __future__ import annotations

import math

import torch
from torch import nn

from mfvae._validation import check_count
from mfvae.vae.prior import NORMAL_REACH, ConditionalParameters, Prior

__all__ = ["MixturePrior"]

NARROW = 0.1


class MixturePrior(Prior):
    """A mixture of diagonal Gaussians whose weights, means and widths follow the conditions.

    Parameters
    ----------
    n_latents, n_conditions : int
        Latents and conditions.
    n_components : int
        Number of Gaussians.
    width : int
        Hidden width of the network that turns conditions into shifts of the parameters.
    """

    def __init__(
        self, n_latents: int, n_conditions: int, *, n_components: int = 64, width: int = 32
    ) -> None:
        super().__init__(n_latents)
        check_count(n_components, "n_components")
        self.n_components = n_components
        self.means = nn.Parameter(torch.randn(n_components, n_latents))
        self.log_scales = nn.Parameter(torch.full((n_components, n_latents), -0.7))
        self.shifts_of = ConditionalParameters(
            n_conditions, (n_components, 1 + 2 * n_latents), width
        )

    def _components(
        self, conditions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        # Without conditions one row serves all, which keeps large mixtures affordable.
        rows = conditions if conditions.shape[1] else conditions[:1]
        shifts = self.shifts_of(rows)
        log_weights = torch.log_softmax(shifts[..., 0], dim=-1)
        means = self.means + shifts[..., 1 : 1 + self.n_latents]
        log_scales = self.log_scales + shifts[..., 1 + self.n_latents :]
        return log_weights, means, log_scales.clamp(-7.0, 3.0)

    def log_prob(self, z: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        log_weights, means, log_scales = (part.to(z.dtype) for part in self._components(conditions))
        standardized = (z[:, None, :] - means) * torch.exp(-log_scales)
        log_density = -(standardized**2 / 2 + log_scales + math.log(2 * math.pi) / 2).sum(dim=-1)
        return torch.logsumexp(log_weights + log_density, dim=-1)

    def sample(self, conditions: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        log_weights, means, log_scales = self._components(conditions)
        weights = log_weights.exp().expand(len(conditions), -1)
        component = torch.multinomial(weights, 1, generator=generator).squeeze(1)
        row = torch.arange(len(conditions), device=conditions.device)
        if len(means) == 1:
            row = torch.zeros_like(row)
        noise = self._noise(conditions, generator)
        return means[row, component] + torch.exp(log_scales[row, component]) * noise

    def box(self, conditions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        _, means, log_scales = self._components(conditions)
        reach = NORMAL_REACH * torch.exp(log_scales)
        return (means - reach).amin(dim=(0, 1)), (means + reach).amax(dim=(0, 1))

    def breakpoints(self, conditions: torch.Tensor) -> list[torch.Tensor]:
        """Return, per latent, the edges of components so narrow that nodes could miss them."""
        _, means, log_scales = (part[0] for part in self._components(conditions))
        scales = torch.exp(log_scales)
        edges = torch.stack([means - 4 * scales, means, means + 4 * scales])
        return [edges[:, scales[:, k] < NARROW, k].flatten() for k in range(self.n_latents)]
