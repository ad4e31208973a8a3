"""A prior that does not factorise: a mixture of Gaussians."""

import math

import torch
from torch import Tensor, nn

from mfvae._validation import check_choice, check_count
from mfvae.vae.prior import ConditionalParameters, Pair, Prior, distinct_rows

__all__ = ["MixturePrior"]

NARROW = 0.1
N_COMPONENTS = 64  # of the default; `configure` asks for fewer where rows are few


class MixturePrior(Prior):
    """A mixture of Gaussians whose weights, means and covariances follow the conditions.

    Component k is ``z = m_k + L_k^{-1} D_k u``, u ~ Normal(0, 1), with D_k diagonal and L_k the
    identity (``covariance`` "diagonal") or lower triangular with ones on its diagonal ("full").
    Full covariances tile a curved orbit of ordered states with flat pieces, which diagonal ones
    can do only where the orbit runs along the axes. ``width`` is the hidden width of the network
    that turns conditions into shifts of the parameters.
    """

    def __init__(
        self,
        n_latents: int,
        n_conditions: int,
        *,
        n_components: int = N_COMPONENTS,
        covariance: str = "diagonal",
        width: int = 32,
    ) -> None:
        super().__init__(n_latents)
        check_choice(covariance, "covariance", ("diagonal", "full"))
        self.n_components = n_components = check_count(n_components, "n_components")
        self.means = nn.Parameter(torch.randn(n_components, n_latents))
        self.log_scales = nn.Parameter(torch.full((n_components, n_latents), -0.7))
        below = torch.tril_indices(n_latents, n_latents, -1 if covariance == "full" else -n_latents)
        self.register_buffer("rows", below[0], persistent=False)
        self.register_buffer("columns", below[1], persistent=False)
        shape = (n_components, 1 + 2 * n_latents + below.shape[1])
        self.shifts_of = ConditionalParameters(n_conditions, shape, width)

    def _components(self, conditions: Tensor, dtype: torch.dtype | None = None) -> list[Tensor]:
        """Return log weights, means, log scales and the entries of L below its diagonal."""
        # Without conditions one row serves all, which keeps large mixtures affordable.
        shifts = self.shifts_of(conditions if conditions.shape[1] else conditions[:1])
        sizes = [1, self.n_latents, self.n_latents, len(self.rows)]
        log_weights, means, log_scales, entries = shifts.split(sizes, dim=-1)
        log_weights = torch.log_softmax(log_weights[..., 0], dim=-1)
        log_scales = (self.log_scales + log_scales).clamp(-7.0, 3.0)
        components = log_weights, self.means + means, log_scales, entries
        return [part.to(dtype or part.dtype) for part in components]

    def _lower(self, entries: Tensor) -> Tensor:
        """Return the matrices L of entries ``(..., n_entries)``, ``(..., d, d)``."""
        lower = torch.eye(self.n_latents, dtype=entries.dtype, device=entries.device)
        lower = lower.repeat(*entries.shape[:-1], 1, 1)
        lower[..., self.rows, self.columns] = entries
        return lower

    def log_prob(self, z: Tensor, conditions: Tensor) -> Tensor:
        if self.n_latents > 2:
            # Rows of one condition share the components, and a temperature serves many rows.
            distinct, group = distinct_rows(conditions)
            if 4 * len(distinct) <= len(z) or not conditions.shape[1]:
                return self._grouped_log_prob(z, distinct, group)
        log_weights, means, log_scales, entries = self._components(conditions, z.dtype)
        offset = z[:, None, :] - means
        if len(self.rows):
            offset = offset.index_add(2, self.rows, entries * offset[..., self.columns])
        standardized = offset * torch.exp(-log_scales)
        log_density = -(standardized**2 / 2 + log_scales + math.log(2 * math.pi) / 2).sum(dim=-1)
        return torch.logsumexp(log_weights + log_density, dim=-1)

    def _grouped_log_prob(self, z: Tensor, distinct: Tensor, group: Tensor) -> Tensor:
        """Return ln p(z) of rows in ``group`` of the conditions: a product of matrices for each.

        ``ln N_k(z) = c_k + z·P_k m_k - z·P_k z / 2`` is linear in the products of latents. Terms
        that cancel lose some 1e-7 of the largest (z / scale)² in single precision, which is why
        one or two latents do not go this way.
        """
        log_weights, means, log_scales, entries = self._components(distinct, z.dtype)
        root = torch.exp(-log_scales)[..., None] * self._lower(entries)
        precision = root.mT @ root
        pull = (precision @ means[..., None])[..., 0]
        i, j = torch.triu_indices(self.n_latents, self.n_latents, device=z.device)
        squares = precision[..., i, j] * torch.where(i == j, -0.5, -1.0)
        constant = log_weights - log_scales.sum(dim=-1) - (pull * means).sum(dim=-1) / 2
        constant = constant - self.n_latents * math.log(2 * math.pi) / 2
        coefficients = torch.cat([squares, pull], dim=-1).mT
        products = torch.cat([z[:, i] * z[:, j], z], dim=1)
        order, sizes = torch.argsort(group), torch.bincount(group, minlength=len(distinct))
        log_density = [
            torch.logsumexp(torch.addmm(constant[k], part, coefficients[k]), dim=1)
            for k, part in enumerate(products[order].split(sizes.tolist()))
        ]
        return torch.cat(log_density)[torch.argsort(order)]

    def sample(self, conditions: Tensor, generator: torch.Generator) -> Tensor:
        log_weights, means, log_scales, entries = self._components(conditions)
        weights = log_weights.exp().expand(len(conditions), -1)
        component = torch.multinomial(weights, 1, generator=generator).squeeze(1)
        own = torch.arange(len(conditions), device=conditions.device) % len(means), component
        noise = (self.noise(conditions, generator) * torch.exp(log_scales[own]))[..., None]
        if len(self.rows):
            form = {"upper": False, "unitriangular": True}
            noise = torch.linalg.solve_triangular(self._lower(entries[own]), noise, **form)
        return means[own] + noise[..., 0]

    def _means_and_deviations(self, conditions: Tensor) -> Pair:
        """Return mean and standard deviation of each latent in each component."""
        _, means, log_scales, entries = self._components(conditions)
        scales = torch.exp(log_scales)
        if len(self.rows):
            root = torch.linalg.inv(self._lower(entries)) * scales[..., None, :]
            scales = root.square().sum(dim=-1).sqrt()
        return means, scales

    def box(self, conditions: Tensor) -> Pair:
        means, deviations = self._means_and_deviations(conditions)
        reach = self.reach * deviations
        return (means - reach).amin(dim=(0, 1)), (means + reach).amax(dim=(0, 1))

    def breakpoints(self, conditions: Tensor) -> list[Tensor]:
        # The edges of components so narrow that nodes could miss them.
        means, deviations = (part[0] for part in self._means_and_deviations(conditions))
        edges = torch.stack([means + reach * deviations for reach in (-8, -4, 0, 4, 8)])
        return [edges[:, deviations[:, k] < NARROW, k].flatten() for k in range(self.n_latents)]
