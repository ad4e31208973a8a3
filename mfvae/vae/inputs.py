"""What a user hands to the estimator, checked and turned into tensors."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted, validate_data

from mfvae._validation import (
    check_choice,
    check_conditions,
    check_count,
    check_finite_array,
    check_number,
    check_seed,
)
from mfvae.vae.model import DECODERS, ENCODERS, LIKELIHOODS, PRIORS

__all__ = ["EstimatorInputs"]

_SCHEDULES = ("one-cycle", "exponential", "constant")


class EstimatorInputs:
    """Mixin: checks of parameters, data, conditions and latents, and their tensors."""

    def _check_parameters(self) -> None:
        check_count(self.n_latents, "n_latents")
        check_choice(self.encoder, "encoder", ("auto", *ENCODERS))
        check_choice(self.decoder, "decoder", ("auto", *DECODERS))
        check_choice(self.prior, "prior", tuple(PRIORS))
        check_choice(self.likelihood, "likelihood", tuple(LIKELIHOODS))
        check_choice(self.schedule, "schedule", _SCHEDULES)
        check_number(self.beta, "beta", minimum=0.0)
        check_count(self.n_epochs, "n_epochs")
        check_count(self.batch_size, "batch_size")
        check_number(self.learning_rate, "learning_rate", positive=True)
        check_number(self.weight_decay, "weight_decay", minimum=0.0)
        check_number(self.momentum, "momentum", minimum=0.0, maximum=0.999)
        check_count(self.random_state, "random_state", minimum=0, maximum=2**32 - 1)
        if self.patience is not None:
            check_count(self.patience, "patience")
        for name in ("encoder", "decoder", "prior", "likelihood", "trainer"):
            options = getattr(self, f"{name}_options")
            if options is not None and not isinstance(options, dict):
                raise TypeError(f"{name}_options must be a dict or None, got {options!r}")

    def _check_data(self, X: np.ndarray, *, reset: bool) -> np.ndarray:
        if LIKELIHOODS[self.likelihood].data_ndim == 3:
            X = check_finite_array(X, "X", ndim=3)
            if reset:
                self.n_features_in_ = X.shape[1]
            elif X.shape[1] != self.n_features_in_:
                raise ValueError(f"X has {X.shape[1]} sites, fit saw {self.n_features_in_}")
            return X
        dtype = np.float64 if self.likelihood == "gaussian" else "numeric"
        return validate_data(self, X, reset=reset, dtype=dtype)

    def _check_pair(
        self, X: np.ndarray, conditions: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        X = self._check_data(X, reset=False)
        return X, check_conditions(conditions, len(X), self.n_conditions_)

    @property
    def n_conditions_(self) -> int:
        """Number of conditions that the model was trained with."""
        return len(self.configuration_["condition_location"])

    def latents_as_tensor(self, z: np.ndarray) -> torch.Tensor:
        """Return latents ``(n_samples, n_latents)`` as the module takes them."""
        check_is_fitted(self, "module_")
        z = check_finite_array(z, "z", ndim=2)
        n_latents = self.module_.prior.n_latents
        if z.shape[1] != n_latents:
            raise ValueError(f"z must have shape (n_samples, {n_latents}), got {z.shape}")
        return torch.from_numpy(z).to(self.module_.device, self.module_.dtype)

    def _resolve(self, X: np.ndarray, conditions: np.ndarray) -> dict[str, Any]:
        """Return the plain description from which ``build_model`` makes the module."""
        n_sites = X.shape[1]
        settings = self._likelihood_settings(X)
        shape, side = self.lattice_shape, round(n_sites**0.5)
        if shape is not None:
            if not isinstance(shape, (list, tuple)):
                raise TypeError(f"lattice_shape must be (rows, columns), got {shape!r}")
            if len(shape) != 2:
                raise ValueError(f"lattice_shape must be (rows, columns), got {shape!r}")
            shape = tuple(check_count(length, "lattice_shape") for length in shape)
            if shape[0] * shape[1] != n_sites:
                raise ValueError(f"lattice_shape {shape} does not hold {n_sites} sites")
        elif side * side == n_sites:
            shape = (side, side)
        encoder, decoder = self.encoder, self.decoder
        if encoder == "auto":
            image = self.lattice_shape is not None or (side * side == n_sites and side % 4 == 0)
            directors = LIKELIHOODS[self.likelihood].data_ndim == 3
            encoder = "set" if directors else "cnn" if image else "mlp"
        if decoder == "auto":
            decoder = "linear" if encoder == "set" else encoder
        if shape is None and any(name.endswith("cnn") for name in (encoder, decoder)):
            raise ValueError(f"{n_sites} sites are no square: give lattice_shape=(rows, columns)")
        location, spread = conditions.mean(axis=0), conditions.std(axis=0)
        constant = spread <= 1e-12 * np.abs(location)  # up to rounding
        return {
            "encoder": encoder,
            "decoder": decoder,
            "prior": self.prior,
            "likelihood": self.likelihood,
            "encoder_options": dict(self.encoder_options or {}),
            "decoder_options": dict(self.decoder_options or {}),
            "prior_options": dict(self.prior_options or {}),
            "likelihood_options": settings,
            "n_latents": int(self.n_latents),
            "n_sites": n_sites,
            "lattice_shape": shape,
            "condition_location": location.tolist(),
            "condition_scale": np.where(constant, 1.0, spread).tolist(),
            "seed": int(self.random_state),
        }

    def _likelihood_settings(self, X: np.ndarray) -> dict[str, Any]:
        brick, options = LIKELIHOODS[self.likelihood], self.likelihood_options or {}
        known = list(inspect.signature(brick.settings_from_data).parameters)[1:]
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise ValueError(
                f"{brick.__name__} does not know the option {unknown[0]!r}; its options are {known}"
            )
        return brick.settings_from_data(X, **options)

    def _tensors(self, X: np.ndarray, conditions: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.module_.likelihood.prepare(X).to(self.module_.device)
        return x, self._standardize(conditions)

    def _standardize(self, conditions: np.ndarray) -> torch.Tensor:
        c = torch.from_numpy(conditions).to(self.module_.device, self.module_.dtype)
        return (c - self.module_.condition_location) / self.module_.condition_scale

    def as_tensors(
        self, X: np.ndarray, conditions: np.ndarray | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return X and standardised conditions, checked, as the module takes them."""
        check_is_fitted(self, "module_")
        return self._tensors(*self._check_pair(X, conditions))

    def _generator(self, seed: int | np.random.SeedSequence, stream: int) -> torch.Generator:
        child = check_seed(seed).spawn(stream + 1)[stream]
        state = int(child.generate_state(1, np.uint64)[0])
        return torch.Generator(self.module_.device).manual_seed(state % 2**63)

    def standardized_condition(
        self, condition: float | np.ndarray | None, n_samples: int
    ) -> torch.Tensor:
        """Return ``(n_samples, n_conditions)`` in the module's units, of one condition or many."""
        if condition is not None and np.ndim(condition) < 2:
            condition = np.atleast_1d(check_finite_array(condition, "condition"))
            condition = np.tile(condition, (n_samples, 1))
        return self._standardize(check_conditions(condition, n_samples, self.n_conditions_))
