"""A linear decoder is a generalised Hopfield model: patterns, field, cumulant function.

Spins given the latent follow ``p(s_i | z) = e^{s_i h_i} / 2cosh h_i`` with the fields
``h(z) = W z + b`` of a linear decoder (half its logits), so that, W being (n_sites, d),

    p(s) = Z₀ exp(b·s + Φ(Wᵀs)),   Φ(u) = ln E_p̃[e^{u·z}],   p̃(z) = p(z) Π_i (2cosh h_i(z))⁻¹ / Z₀.

Φ is the cumulant generating function of the tilted latent law p̃; where it is quadratic the
model is the ordinary Hopfield model with the columns of W as patterns (Hopfield 1982), else
one of the dense kind (Krotov & Hopfield 2016).
"""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from mfvae._validation import (
    check_count,
    check_finite_array,
    check_number,
    check_seed,
    check_spins,
)
from mfvae.decode._tilted import importance_draws, log_mean, log_two_cosh
from mfvae.vae.decoder import LinearDecoder
from mfvae.vae.estimator import MeanFieldVAE
from mfvae.vae.evidence import settled_integral
from mfvae.vae.likelihood import Bernoulli
from mfvae.vae.prior import NormalPrior, Prior

__all__ = ["GeneralizedHopfield"]

_MAX_NODES = 2**23


class GeneralizedHopfield:
    """The Ising-spin model ``E(s) = -b·s - Φ(Wᵀs)`` at temperature 1, read off a linear decoder.

    Args:
        patterns (array_like, shape (n_sites, n_latents)): W: what one unit of each latent adds to
            the field on each spin.
        field (array_like, shape (n_sites,)): b: the field on each spin at z = 0.
        prior (mfvae.vae.Prior or None): Law p(z) of the latents; None is Normal(0, 1) for each.
        condition (array_like, shape (n_conditions,), or None): Standardised conditions handed to
            the prior.
        tolerance (float): Error, in nats, allowed to the quadrature over one or two latents.
        n_importance (int): Latents drawn for each value of Φ where there are more than two:
            importance sampling from a Student-t law around the mode of the tilted density, mixed
            with the prior, with standard errors.
        seed (int or numpy.random.SeedSequence): Source of those latents; the same call gives the
            same bits.

    Attributes:
        patterns, field (ndarray, float64 (n_sites, n_latents) and (n_sites,)): W and b, in units of
            the temperature.
        n_sites, n_latents (int)

    Raises:
        TypeError, ValueError: If an argument is not as described.

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
        n_importance: int = 1024,
        seed: int | np.random.SeedSequence = 0,
    ) -> None:
        self.patterns = check_finite_array(patterns, "patterns", ndim=2)
        self.field = check_finite_array(field, "field", ndim=1)
        self.n_sites, self.n_latents = self.patterns.shape
        if self.field.shape != (self.n_sites,):
            raise ValueError(f"field must have shape ({self.n_sites},), got {self.field.shape}")
        prior = NormalPrior(self.n_latents, 0) if prior is None else prior
        if not isinstance(prior, Prior):
            raise TypeError(f"prior must be a mfvae.vae.Prior or None, got {prior!r}")
        if prior.n_latents != self.n_latents:
            raise ValueError(f"prior has {prior.n_latents} latents, patterns {self.n_latents}")
        self.tolerance = check_number(tolerance, "tolerance", positive=True)
        self.n_importance = check_count(n_importance, "n_importance", minimum=16)
        self._seed = check_seed(seed)
        self._prior = copy.deepcopy(prior).double().eval().requires_grad_(False)
        values = [] if condition is None else check_finite_array(condition, "condition", ndim=1)
        self._condition = torch.tensor(np.asarray(values, dtype=float)[None])
        self._W, self._b = torch.from_numpy(self.patterns), torch.from_numpy(self.field)

    @classmethod
    def from_vae(
        cls, vae: MeanFieldVAE, condition: float | np.ndarray | None = None, **options: Any
    ) -> GeneralizedHopfield:
        """Read the model off a trained VAE with a linear decoder and two letters a site.

        Words of 0 and 1 are taken as spins -1 and +1; the law is the VAE's own.

        Args:
            vae (MeanFieldVAE): Trained with ``decoder="linear"`` and ``likelihood="bernoulli"``.
            condition (float or array_like, shape (n_conditions,), or None): The condition
                (temperature, …) at which the prior is taken, where it has one.
            **options: ``tolerance``, ``n_importance`` and ``seed`` of the constructor.

        Raises:
            TypeError, ValueError: If the VAE is not of this kind, not trained, or lacks its
                condition.
        """
        if not isinstance(vae, MeanFieldVAE):
            raise TypeError(f"vae must be a MeanFieldVAE, got {type(vae).__name__}")
        check_is_fitted(vae, "module_")
        decoder, likelihood = vae.module_.decoder, vae.module_.likelihood
        if not isinstance(decoder, LinearDecoder) or not isinstance(likelihood, Bernoulli):
            raise ValueError(
                "a generalised Hopfield model needs decoder='linear' and likelihood='bernoulli', "
                f"got {type(decoder).__name__} and {type(likelihood).__name__}"
            )
        weight, bias = (
            p.detach().cpu().double().numpy() for p in (decoder.affine.weight, decoder.affine.bias)
        )
        standardised = vae.standardized_condition(condition, 1)[0].cpu().double().numpy()
        prior = copy.deepcopy(vae.module_.prior).cpu()
        return cls(
            weight / 2,
            bias / 2,
            prior,
            condition=standardised if len(standardised) else None,
            **options,
        )

    # -- the cumulant function -----------------------------------------------------------

    def cumulant(
        self, u: np.ndarray, *, return_stderr: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return Φ(u) = ln E_p̃[e^{u·z}] of the tilted latent law, Φ(0) = 0.

        Args:
            u (array_like, shape (n, n_latents)): Conjugate to the latents; configurations have u =
                Wᵀs.
            return_stderr (bool): Also return standard errors: 0 from the quadrature (d ≤ 2), those
                of importance sampling above.

        Returns:
            ndarray, float64 (n,), nats: And their standard errors if asked for.
        """
        u = self._check_u(u)
        value, stderr = self._log_integral(u)
        value, stderr = value - self._log_z0[0], np.hypot(stderr, self._log_z0[1])
        at_zero = ~u.any(axis=1)
        value[at_zero], stderr[at_zero] = 0.0, 0.0
        return (value, stderr) if return_stderr else value

    def gaussian_cumulant(self, u: np.ndarray) -> np.ndarray:
        """Return the second-cumulant baseline ``u·m + uᵀCu/2`` of Φ, float64 (n,) nats.

        m and C are mean and covariance of the tilted law. It is what an ordinary Hopfield
        model with a field would have; arguments as in ``cumulant``.
        """
        u = self._check_u(u)
        return u @ self.tilted_mean + np.einsum("ni,ij,nj->n", u, self.tilted_covariance, u) / 2

    @property
    def tilted_mean(self) -> np.ndarray:
        """Mean of the tilted latent law p̃, float64 (n_latents,)."""
        return self._moments[0]

    @property
    def tilted_covariance(self) -> np.ndarray:
        """Covariance of the tilted latent law p̃, float64 (n_latents, n_latents)."""
        return self._moments[1]

    # -- the model of spins --------------------------------------------------------------

    def energy(
        self, s: np.ndarray, *, return_stderr: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return ``E(s) = -b·s - Φ(Wᵀs)`` of spins -1/+1, float64 (n_samples,), temperature 1.

        With ``return_stderr`` also the standard errors, as in ``cumulant``.
        """
        s = check_spins(s, self.n_sites, "s")
        value, stderr = self.cumulant(s @ self.patterns, return_stderr=True)
        energy = -(s @ self.field) - value
        return (energy, stderr) if return_stderr else energy

    def log_prob(
        self, s: np.ndarray, *, return_stderr: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return ln p(s) of spins -1/+1, float64 (n_samples,) nats: the VAE's likelihood.

        With ``return_stderr`` also the standard errors, as in ``cumulant``. The log of an
        importance-sampling mean is low by about half its squared standard error.
        """
        s = check_spins(s, self.n_sites, "s")
        value, stderr = self._log_integral(s @ self.patterns)
        log_prob = s @ self.field + value
        return (log_prob, stderr) if return_stderr else log_prob

    @property
    def log_normalizer(self) -> float:
        """ln Σ_s exp(-E(s)) = -ln Z₀, nats."""
        return -self._log_z0[0]

    def sample(self, n_samples: int, *, seed: int | np.random.SeedSequence) -> np.ndarray:
        """Draw independent configurations exactly: z from the prior, then spins.

        Returns:
            ndarray, int8 (n_samples, n_sites): Spins -1 and +1.
        """
        n_samples = check_count(n_samples, "n_samples")
        latents, spins = check_seed(seed).spawn(2)
        z = self._draw_prior(n_samples, latents)
        logits = 2 * (z @ self._W.T + self._b).numpy()
        up = np.random.default_rng(spins).logistic(size=logits.shape) < logits
        return np.where(up, 1, -1).astype(np.int8)

    # -- integrals over the latent -------------------------------------------------------

    def _draw_prior(self, n: int, seed: np.random.SeedSequence) -> torch.Tensor:
        generator = torch.Generator().manual_seed(int(seed.generate_state(1, np.uint64)[0] >> 1))
        return self._prior.sample(self._condition.expand(n, -1), generator)

    def _log_tilt(self, z: torch.Tensor) -> torch.Tensor:
        """Return ln p(z) - Σ_i ln 2cosh h_i(z), ``(n,)``."""
        log_prior = self._prior.log_prob(z, self._condition.expand(len(z), -1))
        return log_prior - log_two_cosh(z @ self._W.T + self._b).sum(dim=-1)

    def _log_integral(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return ln ∫ dz p(z) e^{u·z} Π_i (2cosh h_i)⁻¹ and its standard error, each (n,)."""
        rows, repeats = np.unique(u, axis=0, return_inverse=True)
        rows, repeats = torch.from_numpy(rows), repeats.ravel()
        if self.n_latents > 2:
            value, stderr = (part.numpy() for part in self._importance(rows))
            return value[repeats], stderr[repeats]
        value = self._quadrature(lambda r, z: r @ z.T + self._log_tilt(z), rows)
        return value.numpy()[repeats], np.zeros(len(u))

    def _quadrature(self, log_integrand: Any, rows: torch.Tensor) -> torch.Tensor:
        options = {"tolerance": self.tolerance, "max_nodes": _MAX_NODES}
        with torch.no_grad():
            return settled_integral(log_integrand, rows, self._prior, self._condition, **options)

    def _importance(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        parts = []
        bank_seed, *seeds = check_seed(self._seed).spawn(1 + len(rows) // 256 + 1)
        bank = self._draw_prior(4096, bank_seed)
        for block, seed in zip(rows.split(256), seeds, strict=False):
            _, log_w = self._draws(block, bank, self.n_importance, seed)
            parts.append(log_mean(log_w))
        value, stderr = (torch.cat(part) for part in zip(*parts, strict=True))
        return value, stderr

    def _draws(
        self, rows: torch.Tensor, bank: torch.Tensor, n: int, seed: np.random.SeedSequence
    ) -> tuple[torch.Tensor, torch.Tensor]:
        def log_prior(z: torch.Tensor) -> torch.Tensor:
            return self._prior.log_prob(z, self._condition.expand(len(z), -1))

        student, mixed = seed.spawn(2)
        fresh = self._draw_prior(len(rows) * max(1, n // 8), mixed)
        rng = np.random.default_rng(student)
        return importance_draws(rows, self._W, self._b, log_prior, bank, fresh, n, rng)

    @property
    def _log_z0(self) -> tuple[float, float]:
        if not hasattr(self, "_log_z0_"):
            value, stderr = self._log_integral(np.zeros((1, self.n_latents)))
            self._log_z0_ = float(value[0]), float(stderr[0])
        return self._log_z0_

    @property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        if not hasattr(self, "_moments_"):
            quadrature = self._moments_by_quadrature
            self._moments_ = quadrature() if self.n_latents <= 2 else self._moments_by_importance()
        return self._moments_

    def _moments_by_quadrature(self) -> tuple[np.ndarray, np.ndarray]:
        """Take moments from integrals of squares (a·z + c)², which have logarithms."""
        d, eye = self.n_latents, np.eye(self.n_latents)
        pairs = [(i, j) for i in range(d) for j in range(i + 1, d)]
        forms = [[*eye[k], shift] for k in range(d) for shift in (0.0, 1.0, -1.0)]
        forms += [[*(eye[i] + sign * eye[j]), 0.0] for i, j in pairs for sign in (1.0, -1.0)]

        def log_integrand(rows: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
            linear = rows[:, :d] @ z.T + rows[:, d:]
            return 2 * torch.log(linear.abs()) + self._log_tilt(z)

        rows = torch.tensor(forms, dtype=torch.float64)
        squares = np.exp(self._quadrature(log_integrand, rows).numpy() - self._log_z0[0])
        singles, doubles = squares[: 3 * d].reshape(d, 3), squares[3 * d :].reshape(-1, 2)
        mean = (singles[:, 1] - singles[:, 2]) / 4
        second = np.diag(singles[:, 0])
        for (i, j), (plus, minus) in zip(pairs, doubles, strict=True):
            second[i, j] = second[j, i] = (plus - minus) / 4
        return mean, second - np.outer(mean, mean)

    def _moments_by_importance(self) -> tuple[np.ndarray, np.ndarray]:
        seed, bank_seed = check_seed(self._seed).spawn(3)[1:]
        n = 64 * self.n_importance
        bank = self._draw_prior(4096, bank_seed)
        z, log_w = self._draws(torch.zeros(1, self.n_latents).double(), bank, n, seed)
        weights = torch.exp(log_w[:, 0] - math.log(n)).numpy()
        weights, z = weights / weights.sum(), z[:, 0].numpy()
        mean = weights @ z
        return mean, (weights[:, None] * (z - mean)).T @ (z - mean)

    def _check_u(self, u: np.ndarray) -> np.ndarray:
        u = check_finite_array(u, "u", ndim=2)
        if u.shape[1] != self.n_latents:
            raise ValueError(f"u must have shape (n, {self.n_latents}), got {u.shape}")
        return u
