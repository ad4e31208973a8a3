"""Priors p(z | conditions), a fixed Gaussian and flows of splines, that start as Normal(0, 1).

Latents ``(n_samples, n_latents)`` have standardised conditions ``(n_samples, n_conditions)``.
"""

import math

import torch
from nflows.transforms.splines import rational_quadratic as splines
from torch import Tensor, nn
from torch.nn import functional

from mfvae._validation import check_count, check_number
from mfvae.vae.encoder import multilayer

__all__ = ["CouplingPrior", "NormalPrior", "Prior", "SplinePrior", "rational_quadratic"]

Pair = tuple[Tensor, Tensor]

# What nflows turns into slope 1, that of the tails, by softplus and its minimum.
UNIT_SLOPE = math.log(math.expm1(1 - splines.DEFAULT_MIN_DERIVATIVE))


def log_normal(noise: Tensor, log_variance: Tensor | float = 0.0) -> Tensor:
    """Return ln Normal(m + deviation * noise; m, deviation²) summed over the last axis."""
    return -(noise**2 + log_variance + math.log(2 * math.pi)).sum(dim=-1) / 2


def distinct_rows(conditions: Tensor) -> Pair:
    """Return the distinct conditions, and for each row which of them it is."""
    if conditions.shape[1]:
        return torch.unique(conditions, dim=0, return_inverse=True)
    return conditions[:1], conditions.new_zeros(len(conditions), dtype=torch.long)


class ConditionalParameters(nn.Module):
    """Numbers of a ``shape``, zero at the start: free, or a small network of the conditions."""

    def __init__(self, n_conditions: int, shape: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.shape = shape
        if n_conditions == 0:
            self.constant = nn.Parameter(torch.zeros(shape))
        else:
            width = check_count(width, "width")
            self.network = multilayer(n_conditions, (width, width), math.prod(shape))
            for parameter in self.network[-1].parameters():
                nn.init.zeros_(parameter)

    def forward(self, conditions: Tensor) -> Tensor:
        if hasattr(self, "constant"):
            return self.constant.expand(len(conditions), *self.shape)
        return self.network(conditions).unflatten(1, self.shape)


def rational_quadratic(
    x: Tensor, parameters: Tensor, bound: float, *, inverse: bool = False
) -> Pair:
    """Return x bent by monotone splines on [-bound, bound], and ln |derivative|, shaped like x.

    ``parameters`` ``(*x.shape, 3 * n_bins - 1)`` are widths, heights and inner slopes before
    normalisation; all zero is the identity. Durkan, Bekasov, Murray & Papamakarios (2019), sec. 3.
    """
    n_bins = (parameters.shape[-1] + 1) // 3
    widths, heights, slopes = parameters.split([n_bins, n_bins, n_bins - 1], dim=-1)
    return splines.unconstrained_rational_quadratic_spline(
        x, widths, heights, slopes + UNIT_SLOPE, inverse=inverse, tail_bound=bound
    )


class Prior(nn.Module):
    """What every prior offers; a subclass fills in, and ``box`` if its tails are wide:

    - ``log_prob(z, conditions)``: ln p(z | conditions) of each row, ``(n_samples,)`` nats;
    - ``sample(conditions, generator)``: a latent a row, ``(n_samples, n_latents)``.
    """

    reach = 8.0  # Normal(0, 1) leaves 1e-15 of its mass outside

    def __init__(self, n_latents: int, n_conditions: int = 0) -> None:
        super().__init__()
        self.n_latents = n_latents

    def box(self, conditions: Tensor) -> Pair:
        """Return lower and upper ends, ``(n_latents,)``, that hold all but 1e-12 of the mass."""
        edge = conditions.new_full((self.n_latents,), self.reach)
        return -edge, edge

    def rate(self, mean: Tensor, log_variance: Tensor, noise: Tensor, conditions: Tensor) -> Tensor:
        """Return KL(Normal(mean, exp(log_variance)) || p(z | conditions)), ``(n_samples,)`` nats.

        Or an estimate without bias: here ``ln q(z) - ln p(z)`` at ``z = mean + deviation * noise``.
        """
        z = mean + torch.exp(log_variance / 2) * noise
        return log_normal(noise, log_variance) - self.log_prob(z, conditions)

    def breakpoints(self, conditions: Tensor) -> list[Tensor]:
        """Return, per latent, where ln p(z | c) is not smooth; ``conditions`` has one row."""
        return [torch.empty(0, dtype=conditions.dtype)] * self.n_latents

    def noise(self, conditions: Tensor, generator: torch.Generator) -> Tensor:
        """Draw one row of Normal(0, 1) for each row of ``conditions``."""
        shape, place = (len(conditions), self.n_latents), conditions.device
        return torch.randn(shape, generator=generator, device=place, dtype=conditions.dtype)


class NormalPrior(Prior):
    """Normal(0, 1) for every latent, whatever the conditions: the textbook VAE."""

    def log_prob(self, z: Tensor, conditions: Tensor) -> Tensor:
        return log_normal(z)

    def rate(self, mean: Tensor, log_variance: Tensor, noise: Tensor, conditions: Tensor) -> Tensor:
        # In closed form: times a large beta, the noise of the estimate would drown the gradient.
        return (mean**2 + torch.exp(log_variance) - 1 - log_variance).sum(dim=1) / 2

    def sample(self, conditions: Tensor, generator: torch.Generator) -> Tensor:
        return self.noise(conditions, generator)


class FlowPrior(Prior):
    """Base: Normal(0, 1) pushed through invertible layers that act on [-bound, bound].

    A layer is a function ``(x, conditions, inverse) -> (y, ln |det|)``, from latent to noise.
    """

    def __init__(self, n_latents: int, bound: float) -> None:
        super().__init__(n_latents)
        self.bound = check_number(bound, "bound", positive=True)
        self.reach = max(self.reach, self.bound)
        self.layers = nn.ModuleList()

    def log_prob(self, z: Tensor, conditions: Tensor) -> Tensor:
        log_determinant = torch.zeros_like(z[..., 0])
        for layer in self.layers:
            z, contribution = layer(z, conditions)
            log_determinant = log_determinant + contribution
        return log_normal(z) + log_determinant

    def sample(self, conditions: Tensor, generator: torch.Generator) -> Tensor:
        z = self.noise(conditions, generator).double()  # inverse splines solve quadratics
        for layer in reversed(self.layers):
            z, _ = layer(z, conditions, inverse=True)
        return z.to(conditions.dtype)


class _ElementwiseSpline(nn.Module):
    def __init__(self, n_conditions: int, shape: tuple[int, int], width: int, bound: float) -> None:
        super().__init__()
        self.bound = bound
        self.parameters_of = ConditionalParameters(n_conditions, shape, width)

    def forward(self, x: Tensor, conditions: Tensor, inverse: bool = False) -> Pair:
        parameters = self.parameters_of(conditions).to(x.dtype)
        y, log_slope = rational_quadratic(x, parameters, self.bound, inverse=inverse)
        return y, log_slope.sum(dim=-1)

    def knots(self, conditions: Tensor) -> Tensor:
        """Return the ends of the bins for one row of conditions, ``(n_bins + 1, n_latents)``."""
        parameters = self.parameters_of(conditions)[0]
        n_bins = (parameters.shape[-1] + 1) // 3
        least, widths = splines.DEFAULT_MIN_BIN_WIDTH, torch.softmax(parameters[:, :n_bins], dim=1)
        widths = least + (1 - least * n_bins) * widths
        ends = functional.pad(widths.cumsum(dim=1), (1, 0))
        return (self.bound * (2 * ends - 1)).clamp(-self.bound, self.bound).T


class SplinePrior(FlowPrior):
    """Factorised prior: each latent is Normal(0, 1) pushed through its own splines.

    Args:
        n_layers, n_bins: Stacked splines, and bins of each (one more than its inner knots).
        bound: The splines act on [-bound, bound]; outside they are the identity.
        width: Hidden width of the networks that turn conditions into spline parameters.
    """

    def __init__(
        self,
        n_latents: int,
        n_conditions: int,
        *,
        n_layers: int = 2,
        n_bins: int = 16,
        bound: float = 5.0,
        width: int = 32,
    ) -> None:
        super().__init__(n_latents, bound)
        shape = (n_latents, 3 * check_count(n_bins, "n_bins", minimum=2) - 1)
        for _ in range(check_count(n_layers, "n_layers")):
            self.layers.append(_ElementwiseSpline(n_conditions, shape, width, self.bound))

    def breakpoints(self, conditions: Tensor) -> list[Tensor]:
        points = conditions.new_empty(0, self.n_latents)
        for layer in reversed(self.layers):
            if len(points):
                points, _ = layer(points, conditions.expand(len(points), -1), inverse=True)
            points = torch.cat([points, layer.knots(conditions)])
        return list(points.sort(dim=0).values.T)


class _CouplingSpline(ConditionalParameters):
    """One half of the latents bends under splines whose shape the other half decides."""

    def __init__(
        self, bent: Tensor, n_conditions: int, n_numbers: int, width: int, bound: float
    ) -> None:
        n_bent = int(bent.sum())
        super().__init__(len(bent) - n_bent + n_conditions, (n_bent, n_numbers), width)
        self.bound = bound
        self.register_buffer("bent", bent.nonzero().squeeze(1))
        self.register_buffer("kept", (~bent).nonzero().squeeze(1))

    def forward(self, x: Tensor, conditions: Tensor, inverse: bool = False) -> Pair:
        inputs = torch.cat([x[:, self.kept].to(conditions.dtype), conditions], dim=1)
        parameters = super().forward(inputs).to(x.dtype)
        y = x.clone()
        y[:, self.bent], log_slope = rational_quadratic(
            x[:, self.bent], parameters, self.bound, inverse=inverse
        )
        return y, log_slope.sum(dim=1)


class CouplingPrior(FlowPrior):
    """Normal(0, 1) pushed through spline couplings (Durkan et al. 2019).

    Which half of the latents, at least two, bends alternates from layer to layer along random but
    fixed splits: curved orbits of ordered states, which no factorised prior holds, can be
    represented. Options as in ``SplinePrior``.
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
        super().__init__(n_latents, bound)
        n_numbers = 3 * check_count(n_bins, "n_bins", minimum=2) - 1
        for index in range(check_count(n_layers, "n_layers")):
            if index % 2 == 0:
                half = torch.randperm(n_latents).argsort() < n_latents // 2
            bent = ~half if index % 2 else half
            self.layers.append(_CouplingSpline(bent, n_conditions, n_numbers, width, self.bound))
