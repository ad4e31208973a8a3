"""A linear decoder is a generalised Hopfield model: patterns, field, cumulant function.

Spins given the latent follow ``p(s_i | z) = e^{s_i h_i} / 2cosh h_i`` with the fields
``h(z) = W z + b`` of a linear decoder (half its logits), so that, W being (n_sites, n_latents),

    p(s) = Z₀ exp(b·s + Φ(Wᵀs)),   Φ(u) = ln E_p̃[e^{u·z}],   p̃(z) = p(z) Π_i (2cosh h_i(z))⁻¹ / Z₀.

Φ is the cumulant generating function of the tilted latent law p̃; where it is quadratic the model
is the Hopfield model with the columns of W as patterns, else a dense one (Krotov & Hopfield 2016).
"""

import copy
import functools
from typing import Self

import numpy as np
import torch
from torch import Tensor

from mfvae._validation import (
    check_count,
    check_finite_array,
    check_number,
    check_seed,
    check_spins,
    check_trained,
)
from mfvae.vae.estimator import MeanFieldVAE
from mfvae.vae.evidence import settled_integral
from mfvae.vae.prior import NormalPrior, Prior

__all__ = ["GeneralizedHopfield"]


class GeneralizedHopfield:
    """The Ising-spin model ``E(s) = -b·s - Φ(Wᵀs)`` at temperature 1, read off a linear decoder.

    Args:
        patterns: W ``(n_sites, n_latents)``, one or two latents: what one unit of each adds to the
            field on each spin, in units of the temperature; kept, like ``field``, as float64.
        field: b ``(n_sites,)``: the field on each spin at z = 0.
        prior: Law p(z) of the latents; None is Normal(0, 1) for each.
        condition: Standardised conditions ``(n_conditions,)`` of the prior, where it has any.
        tolerance: Error, in nats, allowed to the quadrature over the latents.

    >>> model = GeneralizedHopfield([[0.5], [0.5]], [0.0, 0.0])
    >>> s = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    >>> float(np.exp(model.log_prob(s)).sum().round(6))
    1.0
    >>> model.energy(s)[0] < model.energy(s)[1]
    np.True_
    """

    def __init__(
        self,
        patterns: np.ndarray,
        field: np.ndarray,
        prior: Prior | None = None,
        *,
        condition: np.ndarray | None = None,
        tolerance: float = 1e-7,
    ) -> None:
        self.patterns = check_finite_array(patterns, "patterns", ndim=2)
        n_sites, n_latents = self.patterns.shape
        self.field = check_finite_array(field, "field", shape=(n_sites,))
        if n_latents > 2:
            raise ValueError(f"the quadrature of Φ needs one or two latents, got {n_latents}")
        prior = NormalPrior(n_latents, 0) if prior is None else prior
        if not isinstance(prior, Prior) or prior.n_latents != n_latents:
            raise ValueError(f"prior must be a prior of {n_latents} latents, got {prior!r}")
        self.tolerance = check_number(tolerance, "tolerance", positive=True)
        self._prior = copy.deepcopy(prior).cpu().double().eval().requires_grad_(False)
        values = [] if condition is None else check_finite_array(condition, "condition", ndim=1)
        self._condition = torch.tensor(np.asarray(values, dtype=float)[None])

    @classmethod
    def from_vae(
        cls, vae: MeanFieldVAE, condition: float | np.ndarray | None = None, **options: float
    ) -> Self:
        """Return the model of a trained VAE with a linear decoder and two letters a site.

        Words of 0 and 1 are taken as spins -1 and +1; the law is the VAE's own. The prior is taken
        at the ``condition`` (temperature, …), a number or ``(n_conditions,)``; ``options`` are
        those of the constructor. ValueError if the condition is missing, the decoder not "linear",
        the likelihood not "bernoulli", or the latents more than two.
        """
        settings = check_trained(vae).configuration_
        if (settings["decoder"], settings["likelihood"]) != ("linear", "bernoulli"):
            raise ValueError("the model needs decoder='linear' and likelihood='bernoulli'")
        affine = vae.module_.decoder.affine
        weight, bias = (p.detach().cpu().double().numpy() for p in (affine.weight, affine.bias))
        standardized = vae.standardized_condition(condition, 1)[0].cpu().double().numpy()
        at = standardized if vae.n_conditions_ else None
        return cls(weight / 2, bias / 2, vae.module_.prior, condition=at, **options)

    def cumulant(self, u: np.ndarray) -> np.ndarray:
        """Return Φ(u) = ln E_p̃[e^{u·z}] of the tilted latent law, float64 (n,) nats, Φ(0) = 0.

        ``u`` is conjugate to the latents, ``(n, n_latents)``; configurations have u = Wᵀs.
        """
        u = check_finite_array(u, "u", shape=(None, self.patterns.shape[1]))
        return np.where(u.any(axis=1), self._log_integral(u) - self._log_z0, 0.0)

    def energy(self, s: np.ndarray) -> np.ndarray:
        """Return ``E(s) = -b·s - Φ(Wᵀs)`` of spins -1/+1 (n_samples, n_sites): (n_samples,)."""
        s = check_spins(s, len(self.field), "s")
        return -(s @ self.field) - self.cumulant(s @ self.patterns)

    def log_prob(self, s: np.ndarray) -> np.ndarray:
        """Return ln p(s) of spins -1/+1 (n_samples, n_sites): the VAE's likelihood, in nats."""
        s = check_spins(s, len(self.field), "s")
        return s @ self.field + self._log_integral(s @ self.patterns)

    def sample(self, n_samples: int, *, seed: int | np.random.SeedSequence) -> np.ndarray:
        """Return independent draws, z from the prior, then spins: int8 (n_samples, n_sites)."""
        n_samples = check_count(n_samples, "n_samples")
        latents, spins = check_seed(seed).spawn(2)
        generator = torch.Generator().manual_seed(int(latents.generate_state(1, np.uint64)[0] >> 1))
        z = self._prior.sample(self._condition.expand(n_samples, -1), generator)
        logits = 2 * self._fields(z).numpy()
        up = np.random.default_rng(spins).logistic(size=logits.shape) < logits
        return np.where(up, 1, -1).astype(np.int8)

    def _fields(self, z: Tensor) -> Tensor:
        return z @ torch.from_numpy(self.patterns).T + torch.from_numpy(self.field)

    def _log_integral(self, u: np.ndarray) -> np.ndarray:
        """Return ln ∫ dz p(z) e^{u·z} Π_i (2cosh h_i)⁻¹ for every row of u."""

        def log_integrand(rows: Tensor, z: Tensor) -> Tensor:
            size = self._fields(z).abs()
            log_two_cosh = size + torch.log1p(torch.exp(-2 * size))
            log_prior = self._prior.log_prob(z, self._condition.expand(len(z), -1))
            return rows @ z.T + (log_prior - log_two_cosh.sum(dim=-1))

        rows, repeats = np.unique(u, axis=0, return_inverse=True)
        options = {"tolerance": self.tolerance, "max_nodes": 2**23}
        place = torch.from_numpy(rows), self._prior, self._condition
        with torch.no_grad():
            return settled_integral(log_integrand, *place, **options).numpy()[repeats.ravel()]

    @functools.cached_property
    def _log_z0(self) -> float:
        return float(self._log_integral(np.zeros((1, self.patterns.shape[1])))[0])
