"""MeanFieldVAE: the face of the package, a scikit-learn estimator."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, DensityMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from mfvae._validation import (
    check_choice,
    check_conditions,
    check_count,
    check_finite_array,
    check_fraction,
    check_number,
    check_seed,
)
from mfvae.vae import evidence
from mfvae.vae.model import LIKELIHOODS, build_model, configure, options_of
from mfvae.vae.storage import read_model, write_model

__all__ = ["MeanFieldVAE"]

Conditions = np.ndarray | None
Condition = float | np.ndarray | None
Seed = int | np.random.SeedSequence
Pair = tuple[torch.Tensor, torch.Tensor]

_ROWS = 8192  # evaluated at once
_TRAINING = {  # parameters of training, by what they must be
    "beta": (check_number, {"minimum": 0.0}),
    "n_epochs": (check_count, {}),
    "batch_size": (check_count, {}),
    "learning_rate": (check_number, {"positive": True}),
    "weight_decay": (check_number, {"minimum": 0.0}),
    "momentum": (check_number, {"minimum": 0.0, "maximum": 0.999}),
    "schedule": (check_choice, {"choices": ("one-cycle", "exponential", "constant")}),
    "random_state": (check_count, {"minimum": 0, "maximum": 2**32 - 1}),
}


class MeanFieldVAE(DensityMixin, TransformerMixin, BaseEstimator):
    """A variational autoencoder whose decoder treats sites as independent given the latent.

    ``p(x | c) = ∫ dz p(z | c) prod_i p(x_i | z)``: a finite-size mean-field theory with
    ``n_latents`` collective variables (Biroli, Welling & Vitelli 2026). Conditions c, such as
    the temperature, enter the prior and the encoder, never the decoder.

    Args:
        n_latents: Number of latents.
        encoder: "auto", "cnn", "mlp", "normalized-cnn" or "set"; "auto" is "set" for directors,
            "cnn" where a ``lattice_shape`` is given or the number of sites is a square divisible by
            16, "mlp" otherwise.
        decoder: "auto", "cnn", "linear", "mlp" or "normalized-cnn"; "auto" is the encoder's mirror,
            "linear" for "set".
        likelihood: Law of a site given the latent: "bernoulli", "tempered", "categorical",
            "gaussian", "bingham" or "bingham-rotation".
        prior: Law of the latent given the conditions: "spline", "normal", "mixture" or "coupling".
        beta: Weight of the rate in the loss; 1 gives the evidence lower bound.
        lattice_shape: Rows and columns, needed by "cnn" where the number of sites is no square.
        encoder_options, decoder_options, prior_options, likelihood_options: Keyword arguments of
            the bricks: channels, widths, n_bins, padding_mode, …
        n_epochs, batch_size: Passes through the training data, and configurations a step.
        learning_rate, weight_decay, momentum: Of AdamW; the momentum is the decay rate of its
            average gradient (the one-cycle schedule sets it itself).
        schedule: Course of the learning rate: "one-cycle", "exponential" or "constant".
        patience: Stop after so many epochs without a better validation loss; None never.
        device: Lightning's accelerator: "auto", "cpu", "gpu", …
        precision: Lightning's precision; "auto" is bf16 where a GPU has it, else 32-bit.
        checkpoint_path: Folder that keeps the end of every epoch; ``fit`` goes on from there.
        trainer_options: Further arguments of ``lightning.Trainer``: ``strategy``, ``devices``, …
        progress: Show a progress bar; the environment variable ``MFVAE_PROGRESS=0`` hides all.
        random_state: Seed of the initial weights, the order of the data, and the noise.

    Attributes:
        module_ (LatentVariableModel): The trained torch module.
        configuration_ (dict): The plain description that it is built from.
        history_ (dict of list): Losses and rate (nats per configuration), learning rate and seconds
            of every epoch.
        training_seconds_ (float): Wall-clock time of ``fit``.
        n_features_in_ (int): Number of sites.

    >>> from mfvae import MeanFieldVAE
    >>> from mfvae.systems import CurieWeiss
    >>> x = CurieWeiss(64).sample(1.0, 500, seed=0)
    >>> vae = MeanFieldVAE(1, n_epochs=1, progress=False).fit(x)
    >>> vae.transform(x).shape, vae.sample(3, seed=1).shape
    ((500, 1), (3, 64))
    """

    def __init__(
        self,
        n_latents: int = 1,
        *,
        encoder: str = "auto",
        decoder: str = "auto",
        likelihood: str = "bernoulli",
        prior: str = "spline",
        beta: float = 1.0,
        lattice_shape: tuple[int, int] | None = None,
        encoder_options: dict[str, Any] | None = None,
        decoder_options: dict[str, Any] | None = None,
        prior_options: dict[str, Any] | None = None,
        likelihood_options: dict[str, Any] | None = None,
        n_epochs: int = 20,
        batch_size: int = 256,
        learning_rate: float = 3e-3,
        weight_decay: float = 1e-4,
        momentum: float = 0.9,
        schedule: str = "one-cycle",
        patience: int | None = None,
        device: str = "auto",
        precision: str = "auto",
        checkpoint_path: str | Path | None = None,
        trainer_options: dict[str, Any] | None = None,
        progress: bool = True,
        random_state: int = 0,
    ) -> None:
        # scikit-learn asks the constructor to store what it is given, and nothing else.
        vars(self).update({name: value for name, value in locals().items() if name != "self"})

    def fit(
        self,
        X: np.ndarray,
        y: None = None,
        *,
        conditions: Conditions = None,
        validation: float | tuple | None = None,
        redraw: Callable[[int], tuple[np.ndarray, np.ndarray | None]] | None = None,
    ) -> MeanFieldVAE:
        """Train on configurations, keep the weights of the best epoch, and return self.

        Args:
            X: ``(n_samples, n_sites)``: spins -1/+1, words 0/1, category codes or real values;
                directors ``(n_samples, n_sites, 3)``. Two-letter data are remembered and given
                back by ``sample``.
            y: Ignored.
            conditions: ``(n_samples,)`` or ``(n_samples, n_conditions)``, the temperature first.
            validation: Fraction of rows held out at random, or held-out data (X, conditions); by
                default a tenth if there are at least 100 rows. Correlated samples should be split
                by chains: ``EquilibriumSamples.split``.
            redraw: ``redraw(epoch)`` returns fresh ``(X, conditions)`` of the same length, in place
                of another pass through the same configurations.

        Raises:
            TypeError, ValueError: If a parameter or the data do not fit the model, or if training
                diverges.
        """
        from mfvae.vae.training import train

        started = time.perf_counter()
        given = self.get_params()
        options = {name: check(given[name], name, **o) for name, (check, o) in _TRAINING.items()}
        if self.patience is not None:
            given["patience"] = check_count(self.patience, "patience")
        given = {**given, **options, "trainer_options": options_of(given, "trainer")}
        check_choice(self.likelihood, "likelihood", tuple(LIKELIHOODS))
        X = self._check_data(X, reset=True)
        c = check_conditions(conditions, len(X))
        self.configuration_ = configure(given, X, c)
        self.module_ = build_model(self.configuration_)
        training, held_out = self._tensors(X, c), None
        if isinstance(validation, tuple):
            if len(validation) != 2:
                raise ValueError("validation must be a fraction or a pair (X, conditions)")
            held_out = self.as_tensors(*validation)
        elif validation is not None or len(X) >= 100:
            fraction = check_fraction(0.1 if validation is None else validation, "validation")
            if len(X) < 2:
                raise ValueError("a validation fraction needs at least two samples, got 1 sample")
            order = np.random.default_rng(check_seed(self.random_state)).permutation(len(X))
            rows = np.split(order, [min(len(X) - 1, max(1, int(fraction * len(X))))])
            held_out, training = (tuple(part[some] for part in training) for some in rows)
        self.module_.calibrate(*training)
        draw = redraw and (lambda epoch: self.as_tensors(*redraw(epoch)))
        records = train(self.module_, training, held_out, given, draw, self.configuration_)
        self.module_.eval()
        self.history_ = {key: [r[key] for r in records if key in r] for key in records[-1]}
        self.training_seconds_ = time.perf_counter() - started
        return self

    def fit_transform(
        self, X: np.ndarray, y: None = None, *, conditions: Conditions = None, **fit_options: Any
    ) -> np.ndarray:
        """Fit, then return ``transform(X, conditions)``; arguments as in ``fit``."""
        return self.fit(X, conditions=conditions, **fit_options).transform(X, conditions)

    def refit_prior(
        self,
        X: np.ndarray,
        conditions: Conditions = None,
        *,
        n_steps: int,
        batch_size: int = 256,
        learning_rate: float = 1e-2,
        seed: Seed = 0,
    ) -> MeanFieldVAE:
        """Go on training the prior, encoder and decoder held fixed, and return self.

        Of the loss only ``-E[ln p(z | c)]``, ``z ~ q(z | x, c)``, depends on it: density estimation
        in ``n_latents`` dimensions, whatever the number of sites. It is least where the prior is
        the aggregate posterior (Tomczak & Welling 2018, section 2).

        Args:
            X, conditions: As in ``fit``, best fresh ones in large number.
            n_steps, batch_size: Steps, and latents drawn for each.
            learning_rate: Largest of the one-cycle schedule.
            seed: Source of the rows and of the noise.

        Raises:
            ValueError: If the prior has no weights, or its loss is not finite.

        >>> from mfvae.systems import CurieWeiss
        >>> x = CurieWeiss(16).sample(0.8, 500, seed=0)
        >>> vae = MeanFieldVAE(1, encoder="set", decoder="linear", n_epochs=1, progress=False)
        >>> before = vae.fit(x).score_samples(x, method="elbo", seed=1).mean()
        >>> after = vae.refit_prior(x, n_steps=200).score_samples(x, method="elbo", seed=1).mean()
        >>> bool(after > before)
        True
        """
        from mfvae.vae.training import train_prior

        options = {
            "n_steps": check_count(n_steps, "n_steps", minimum=2),
            "batch_size": check_count(batch_size, "batch_size"),
            "learning_rate": check_number(learning_rate, "learning_rate", positive=True),
        }
        posterior = self._posterior(X, conditions)
        train_prior(self.module_.prior, *posterior, **options, generator=self._generator(seed, 2))
        return self

    @torch.no_grad()
    def sample(self, n_samples: int = 1, condition: Condition = None, *, seed: Seed) -> np.ndarray:
        """Return configurations drawn from the model, ``(n_samples, n_sites, …)``.

        They have the letters of the training data: spins, words and codes in their dtype, real
        values and directors as float32.

        Args:
            n_samples: Number of configurations.
            condition: One for all, a number or ``(n_conditions,)``, or one a sample,
                ``(n_samples, n_conditions)``.
            seed: Source of randomness.
        """
        z = self.latents_as_tensor(self.sample_prior(n_samples, condition, seed=seed))
        generator, likelihood = self._generator(seed, 1), self.module_.likelihood
        drawn = [
            likelihood.sample(self.module_.decoder(part), generator) for part in z.split(_ROWS)
        ]
        return likelihood.restore(torch.cat(drawn))

    @torch.no_grad()
    def sample_prior(
        self, n_samples: int, condition: Condition = None, *, seed: Seed
    ) -> np.ndarray:
        """Return latents drawn from p(z | condition), ``(n_samples, n_latents)`` float32.

        The latents are those behind ``sample`` with the same arguments.
        """
        check_is_fitted(self, "module_")
        conditions = self.standardized_condition(condition, check_count(n_samples, "n_samples"))
        return self.module_.prior.sample(conditions, self._generator(seed, 0)).cpu().numpy()

    @torch.no_grad()
    def log_prior(self, z: np.ndarray, condition: Condition = None) -> np.ndarray:
        """Return ln p(z | condition) of latents ``(n_samples, n_latents)``, float64 nats."""
        z = self.latents_as_tensor(z)
        conditions = self.standardized_condition(condition, len(z))
        return self.module_.prior.log_prob(z, conditions).double().cpu().numpy()

    def encode(self, X: np.ndarray, conditions: Conditions = None) -> tuple:
        """Return mean and standard deviation of q(z | x, c), each ``(n_samples, n_latents)``.

        Both are float32; X and conditions are as in ``fit``.
        """
        mean, deviation, _ = self._posterior(X, conditions)
        return mean.cpu().numpy(), deviation.cpu().numpy()

    @torch.no_grad()
    def _posterior(self, X: np.ndarray, conditions: Conditions) -> tuple[torch.Tensor, ...]:
        """Return mean and deviation of q(z | x, c), and c, as tensors."""
        x, c = self.as_tensors(X, conditions)
        parts = [
            self.module_.posterior(*part)
            for part in zip(x.split(_ROWS), c.split(_ROWS), strict=True)
        ]
        mean, log_variance = (torch.cat(part) for part in zip(*parts, strict=True))
        return mean, torch.exp(log_variance / 2), c

    def transform(self, X: np.ndarray, conditions: Conditions = None) -> np.ndarray:
        """Return the mean of q(z | x, c), ``(n_samples, n_latents)`` float32."""
        return self.encode(X, conditions)[0]

    @torch.no_grad()
    def decode(self, z: np.ndarray) -> np.ndarray:
        """Return what the decoder emits, float32 ``(n_samples, n_sites, n_parameters)``.

        For latents ``(n_samples, n_latents)``. Bernoulli: the logit of the larger letter; the field
        on a spin is half of it.
        """
        z = self.latents_as_tensor(z)
        return self.module_.decoder(z).cpu().numpy()

    @torch.no_grad()
    def reconstruct_mean(self, z: np.ndarray) -> np.ndarray:
        """Return the mean configuration at latents ``(n_samples, n_latents)``.

        Float32 ``(n_samples, n_sites, …)``, in the letters of the training data.
        """
        z = self.latents_as_tensor(z)
        return self.module_.likelihood.mean(self.module_.decoder(z)).cpu().numpy()

    def score_samples(
        self,
        X: np.ndarray,
        conditions: Conditions = None,
        *,
        method: str = "iwae",
        n_importance: int = 64,
        tolerance: float = 1e-4,
        seed: Seed | None = None,
    ) -> np.ndarray:
        """Return ln p(x | c) of each configuration, or a bound, float64 ``(n_samples,)`` nats.

        Args:
            X, conditions: As in ``fit``.
            method: "iwae", the importance-weighted bound; "quadrature" over one or two latents; or
                "elbo", the evidence lower bound.
            n_importance: Latents drawn for each configuration ("iwae", "elbo").
            tolerance: Error of the quadrature, in nats.
            seed: Source of the latents; None takes ``random_state``, so that the call repeats.

        Raises:
            ValueError: If ``method`` is unknown, or "quadrature" is asked of more than two latents.
            RuntimeError: If the quadrature does not reach its tolerance.
        """
        check_choice(method, "method", ("iwae", "quadrature", "elbo"))
        x, c = self.as_tensors(X, conditions)
        if method == "quadrature":
            tolerance = check_number(tolerance, "tolerance", positive=True)
            return evidence.quadrature(self.module_, x, c, tolerance=tolerance).cpu().numpy()
        n_importance = check_count(n_importance, "n_importance")
        generator = self._generator(self.random_state if seed is None else seed, 2)
        bound = evidence.iwae if method == "iwae" else evidence.elbo
        return bound(self.module_, x, c, n_importance, generator).cpu().numpy()

    def score(self, X: np.ndarray, y: None = None, conditions: Conditions = None) -> float:
        """Return the mean of ``score_samples``, nats per configuration."""
        return float(self.score_samples(X, conditions).mean())

    @property
    def n_conditions_(self) -> int:
        """Number of conditions that the model was trained with."""
        return len(self.configuration_["condition_location"])

    def as_tensors(self, X: np.ndarray, conditions: Conditions) -> Pair:
        """Return X and standardised conditions, checked, as the module takes them."""
        check_is_fitted(self, "module_")
        X = self._check_data(X, reset=False)
        return self._tensors(X, check_conditions(conditions, len(X), self.n_conditions_))

    def latents_as_tensor(self, z: np.ndarray) -> torch.Tensor:
        """Return latents ``(n_samples, n_latents)`` as the module takes them."""
        check_is_fitted(self, "module_")
        z = check_finite_array(z, "z", ndim=2)
        n_latents = self.module_.prior.n_latents
        if z.shape[1] != n_latents:
            raise ValueError(f"z must have shape (n_samples, {n_latents}), got {z.shape}")
        return torch.from_numpy(z).to(self.module_.device, self.module_.dtype)

    def standardized_condition(self, condition: Condition, n_samples: int) -> torch.Tensor:
        """Return ``(n_samples, n_conditions)`` in the module's units, of one condition or many."""
        if condition is not None and np.ndim(condition) < 2:
            condition = np.atleast_1d(check_finite_array(condition, "condition"))
            condition = np.tile(condition, (n_samples, 1))
        return self._standardize(check_conditions(condition, n_samples, self.n_conditions_))

    def _check_data(self, X: np.ndarray, *, reset: bool) -> np.ndarray:
        if LIKELIHOODS[self.likelihood].data_ndim == 2:
            dtype = np.float64 if self.likelihood == "gaussian" else "numeric"
            return validate_data(self, X, reset=reset, dtype=dtype)
        X = check_finite_array(X, "X", ndim=3)
        if not reset and X.shape[1] != self.n_features_in_:
            raise ValueError(f"X has {X.shape[1]} sites, fit saw {self.n_features_in_}")
        self.n_features_in_ = X.shape[1]
        return X

    def _tensors(self, X: np.ndarray, conditions: np.ndarray) -> Pair:
        x = self.module_.likelihood.prepare(X).to(self.module_.device)
        return x, self._standardize(conditions)

    def _standardize(self, conditions: np.ndarray) -> torch.Tensor:
        c = torch.from_numpy(conditions).to(self.module_.device, self.module_.dtype)
        return (c - self.module_.condition_location) / self.module_.condition_scale

    def _generator(self, seed: Seed, stream: int) -> torch.Generator:
        child = check_seed(seed).spawn(stream + 1)[stream]
        state = int(child.generate_state(1, np.uint64)[0])
        return torch.Generator(self.module_.device).manual_seed(state % 2**63)

    def save(self, path: str | Path) -> None:
        """Write the trained model to one file: weights and plain settings, no pickles.

        Raises:
            OSError: If the file cannot be written; a file that was there before is then untouched.
        """
        check_is_fitted(self, "module_")
        description = {
            "parameters": self.get_params(),
            "configuration": self.configuration_,
            "state": {"history": self.history_, "training_seconds": self.training_seconds_},
        }
        write_model(Path(path), description, self.module_)

    @classmethod
    def load(cls, path: str | Path) -> MeanFieldVAE:
        """Return the model that ``save`` wrote to ``path``.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is damaged, of another format version, or not a model of this
                package.
        """
        description, module = read_model(Path(path))
        try:
            vae = cls(**description["parameters"])
            vae.history_ = description["state"]["history"]
            vae.training_seconds_ = description["state"]["training_seconds"]
        except (TypeError, KeyError) as error:
            raise ValueError(f"{path} was not written by this class: {error}") from error
        vae.configuration_, vae.module_ = description["configuration"], module.eval()
        vae.n_features_in_ = vae.configuration_["n_sites"]
        return vae
