"""A prior that does not factorise: rational-quadratic spline couplings."""

from __future__ import annotations

import torch
from torch import nn

from mfvae._validation import check_count, check_number
from mfvae.vae.encoder import multilayer
from mfvae.vae.prior import FlowPrior, rational_quadratic

__all__ = ["CouplingPrior"]


class _CouplingSpline(nn.Module):
    """One half of the latents bends under splines whose shape the other half decides."""

    def __init__(
        self, mask: torch.Tensor, n_conditions: int, n_bins: int, width: int, bound: float
    ) -> None:
        super().__init__()
        self.bound = bound
        self.register_buffer("bent", mask.nonzero().squeeze(1))
        self.register_buffer("kept", (~mask).nonzero().squeeze(1))
        n_bent, n_kept = len(self.bent), len(self.kept)
        self.shape = (n_bent, 3 * n_bins - 1)
        self.network = multilayer(n_kept + n_conditions, (width, width), n_bent * self.shape[1])
        nn.init.zeros_(self.network[-1].weight)
        nn.init.zeros_(self.network[-1].bias)

    def forward(
        self, x: torch.Tensor, conditions: torch.Tensor, inverse: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        kept = x[:, self.kept]
        inputs = torch.cat([kept.to(conditions.dtype), conditions], dim=1)
        parameters = self.network(inputs).unflatten(1, self.shape).to(x.dtype)
        bent, log_slope = rational_quadratic(
            x[:, self.bent], parameters, self.bound, inverse=inverse
        )
        y = x.clone()
        y[:, self.bent] = bent
        return y, log_slope.sum(dim=1)


class CouplingPrior(FlowPrior):
    """Normal(0, 1) pushed through spline couplings (Durkan et al. 2019).

    Which half of the latents bends alternates from layer to layer along random but fixed
    splits, so that curved orbits of ordered states, which no factorised prior holds, can be
    represented.

    Args:
        n_latents, n_conditions (int): Latents (at least two) and conditions.
        n_layers (int): Number of couplings.
        n_bins (int): Bins of each spline.
        bound (float): The splines act on [-bound, bound].
        width (int): Hidden width of the networks.
    """

    def __init__(
        self,
        n_latents: int,
        n_conditions: int,
        *,
        n_layers: int = 6,
        n_bins: int = 12,
        bound: float = 5.0,
        width: int = 64,
    ) -> None:
        if n_latents < 2:
            raise ValueError("the coupling prior needs n_latents >= 2; use prior='spline' for one")
        super().__init__(n_latents)
        check_count(n_layers, "n_layers")
        check_count(n_bins, "n_bins", minimum=2)
        self.bound = check_number(bound, "bound", positive=True)
        self.layers = nn.ModuleList()
        for index in range(n_layers):
            if index % 2 == 0:
                mask = torch.zeros(n_latents, dtype=torch.bool)
                mask[torch.randperm(n_latents)[: n_latents // 2]] = True
            else:
                mask = ~mask
            self.layers.append(_CouplingSpline(mask, n_conditions, n_bins, width, self.bound))
