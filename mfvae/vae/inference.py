"""What a trained model says: samples, latents, reconstructions, log probabilities."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from mfvae._validation import check_choice, check_count, check_number
from mfvae.vae import evidence
from mfvae.vae.inputs import EstimatorInputs

__all__ = ["Inference"]

_EVALUATION_ROWS = 8192


class Inference(EstimatorInputs):
    """Mixin: everything that a fitted estimator can be asked."""

    @torch.no_grad()
    def sample(
        self,
        n_samples: int = 1,
        condition: float | np.ndarray | None = None,
        *,
        seed: int | np.random.SeedSequence,
    ) -> np.ndarray:
        """Draw configurations from the model.

        Args:
            n_samples (int): Number of configurations.
            condition (float or numpy.ndarray or None): One condition for all, a number or
                ``(n_conditions,)``, or one a sample, ``(n_samples, n_conditions)``.
            seed (int or numpy.random.SeedSequence): Source of randomness.

        Returns:
            numpy.ndarray: ``(n_samples, n_sites, …)`` in the letters of the training data: spins,
                words and codes in their dtype, real values and directors as float32.
        """
        z = self._latents(n_samples, condition, seed, stream=0)
        generator = self._generator(seed, 1)
        batches = [
            self.module_.likelihood.sample(self.module_.decoder(batch), generator)
            for batch in z.split(_EVALUATION_ROWS)
        ]
        return self.module_.likelihood.restore(torch.cat(batches))

    @torch.no_grad()
    def sample_prior(
        self,
        n_samples: int,
        condition: float | np.ndarray | None = None,
        *,
        seed: int | np.random.SeedSequence,
    ) -> np.ndarray:
        """Draw latents from p(z | condition), ``(n_samples, n_latents)`` float32.

        The latents are those behind ``sample`` with the same arguments.
        """
        return self._latents(n_samples, condition, seed, stream=0).cpu().numpy()

    @torch.no_grad()
    def log_prior(self, z: np.ndarray, condition: float | np.ndarray | None = None) -> np.ndarray:
        """Return ln p(z | condition) of latents ``(n_samples, n_latents)``, float64 nats."""
        z = self.latents_as_tensor(z)
        conditions = self.standardized_condition(condition, len(z))
        return self.module_.prior.log_prob(z, conditions).double().cpu().numpy()

    @torch.no_grad()
    def encode(
        self, X: np.ndarray, conditions: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of q(z | x, c).

        Args:
            X, conditions (numpy.ndarray): As in ``fit``.

        Returns:
            (numpy.ndarray, numpy.ndarray): Each ``(n_samples, n_latents)`` float32.
        """
        x, c = self.as_tensors(X, conditions)
        batches = [
            self.module_.posterior(*batch)
            for batch in zip(x.split(_EVALUATION_ROWS), c.split(_EVALUATION_ROWS), strict=True)
        ]
        mean, log_variance = (torch.cat(part) for part in zip(*batches, strict=True))
        return mean.cpu().numpy(), torch.exp(log_variance / 2).cpu().numpy()

    def transform(self, X: np.ndarray, conditions: np.ndarray | None = None) -> np.ndarray:
        """Return the mean of q(z | x, c), ``(n_samples, n_latents)`` float32."""
        return self.encode(X, conditions)[0]

    @torch.no_grad()
    def decode(self, z: np.ndarray) -> np.ndarray:
        """Return what the decoder emits for latents ``(n_samples, n_latents)``.

        Returns:
            numpy.ndarray: ``(n_samples, n_sites, n_parameters)`` float32. Bernoulli: the logit of
                the larger letter; the field on a spin is half of it.
        """
        z = self.latents_as_tensor(z)
        return self.module_.decoder(z).cpu().numpy()

    @torch.no_grad()
    def reconstruct_mean(self, z: np.ndarray) -> np.ndarray:
        """Return the mean configuration at latents ``(n_samples, n_latents)``.

        Returns:
            numpy.ndarray: ``(n_samples, n_sites, …)`` float32, in the letters of the training data.
        """
        z = self.latents_as_tensor(z)
        return self.module_.likelihood.mean(self.module_.decoder(z)).cpu().numpy()

    def score_samples(
        self,
        X: np.ndarray,
        conditions: np.ndarray | None = None,
        *,
        method: str = "iwae",
        n_importance: int = 64,
        tolerance: float = 1e-4,
        seed: int | np.random.SeedSequence | None = None,
    ) -> np.ndarray:
        """Return ln p(x | c) of each configuration, or a bound on it.

        Args:
            X, conditions (numpy.ndarray): As in ``fit``.
            method ({"iwae", "quadrature", "elbo"}): Importance-weighted bound, quadrature over one
                or two latents, or the evidence lower bound.
            n_importance (int): Latents drawn for each configuration ("iwae", "elbo").
            tolerance (float): Error of the quadrature, in nats.
            seed (int or numpy.random.SeedSequence or None): Source of the latents; None takes
                ``random_state``, so that the call repeats.

        Returns:
            numpy.ndarray: ``(n_samples,)`` float64, nats for the whole configuration.

        Raises:
            ValueError: If ``method`` is unknown, or "quadrature" is asked of more than two latents.
            RuntimeError: If the quadrature does not reach its tolerance.
        """
        check_choice(method, "method", ("iwae", "quadrature", "elbo"))
        x, c = self.as_tensors(X, conditions)
        if method == "quadrature":
            check_number(tolerance, "tolerance", positive=True)
            return evidence.quadrature(self.module_, x, c, tolerance=tolerance).cpu().numpy()
        check_count(n_importance, "n_importance")
        generator = self._generator(self.random_state if seed is None else seed, 2)
        bound = evidence.iwae if method == "iwae" else evidence.elbo
        return bound(self.module_, x, c, n_importance, generator).cpu().numpy()

    def score(self, X: np.ndarray, y: None = None, conditions: np.ndarray | None = None) -> float:
        """Return the mean of ``score_samples``, nats per configuration."""
        return float(self.score_samples(X, conditions).mean())

    def _latents(
        self,
        n_samples: int,
        condition: float | np.ndarray | None,
        seed: int | np.random.SeedSequence,
        *,
        stream: int,
    ) -> torch.Tensor:
        check_is_fitted(self, "module_")
        check_count(n_samples, "n_samples")
        conditions = self.standardized_condition(condition, n_samples)
        return self.module_.prior.sample(conditions, self._generator(seed, stream))
