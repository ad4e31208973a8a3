"""MeanFieldVAE: the face of the package, a scikit-learn estimator."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, DensityMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from mfvae._validation import (
    check_choice,
    check_conditions,
    check_count,
    check_finite_array,
    check_fraction,
    check_number,
    check_path,
    check_rows,
)
from mfvae.vae import evidence
from mfvae.vae.likelihood import Bernoulli
from mfvae.vae.model import LIKELIHOODS, build_model, check_parameters, configure
from mfvae.vae.polish import polish
from mfvae.vae.storage import read_model, write_model

__all__ = ["MeanFieldVAE"]

Array = np.ndarray
Conditions = np.ndarray | None
Condition = float | np.ndarray | None
Seed = int | np.random.SeedSequence

_ROWS = 8192  # evaluated at once


class MeanFieldVAE(DensityMixin, TransformerMixin, BaseEstimator):
    """A variational autoencoder whose decoder treats sites as independent given the latent.

    ``p(x | c) = ∫ dz p(z | c) prod_i p(x_i | z)``: a finite-size mean-field theory with
    ``n_latents`` collective variables (Biroli, Welling & Vitelli 2026). Conditions c, such as
    the temperature, enter the prior and the encoder, never the decoder.

    Args:
        n_latents: Number of latents.
        encoder, decoder, likelihood, prior: Names in the registries of `mfvae.vae`. "auto" is, of
            encoders, "set" for directors, "cnn" where a ``lattice_shape`` is given, else "mlp"; of
            decoders, "linear" for directors and two-letter words, unless on a lattice, else the
            encoder's mirror; of priors, "spline" for one latent, "mixture" for more, of 64
            Gaussians (with few rows, of one for 200 rows, but 8 at least).
        beta: Weight of the rate in the loss; 1 gives the evidence lower bound.
        lattice_shape: Rows and columns, needed by "cnn" where the number of sites is no square.
        encoder_options, decoder_options, prior_options, likelihood_options: Keywords of the bricks.
        n_epochs: Passes through the training data; None: twenty, or more until ``n_steps``.
        n_steps: Least number of steps; epochs are no measure, of few configurations they are short.
        batch_size: Configurations a step.
        learning_rate: Of AdamW; None: 1e-2 for a linear decoder, else 3e-3.
        weight_decay, momentum: Of AdamW (the one-cycle schedule sets the momentum).
        polish_steps: Last steps, up the importance-weighted bound, which take the ELBO's bias out
            of couplings. None: 400 where that pays, for a linear decoder of two letters with
            beta = 1 after the default number of epochs; else 0.
        schedule: Course of the learning rate: "one-cycle", "exponential" or "constant".
        patience: Stop after so many epochs without a better validation loss; None never.
        device, precision: Lightning's accelerator ("auto", "cpu", "gpu", …) and precision; "auto"
            is bf16 where a GPU has it, else 32-bit.
        checkpoint_path: Folder that keeps the ends of epochs; ``fit`` goes on from the last.
        trainer_options: Further arguments of ``lightning.Trainer``: ``strategy``, ``devices``, …
        progress: Show a progress bar.
        random_state: Seed of the initial weights, the order of the data, and the noise. The last
            bits of the weights also follow the number of torch's threads: on any number of cores
            they are the same after ``torch.set_num_threads(1)``, at the cost of these cores.

    Attributes:
        module_, configuration_: The trained torch module, and the plain dict it is built from.
        history_: Lists of losses and rate (nats per configuration), learning rate and seconds.
        training_seconds_, n_features_in_: Wall-clock time of ``fit``; number of sites.

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
        prior: str = "auto",
        beta: float = 1.0,
        lattice_shape: tuple[int, int] | None = None,
        encoder_options: dict[str, Any] | None = None,
        decoder_options: dict[str, Any] | None = None,
        prior_options: dict[str, Any] | None = None,
        likelihood_options: dict[str, Any] | None = None,
        n_epochs: int | None = None,
        n_steps: int = 3000,
        batch_size: int = 256,
        learning_rate: float | None = None,
        weight_decay: float = 1e-4,
        momentum: float = 0.9,
        polish_steps: int | None = None,
        schedule: str = "one-cycle",
        patience: int | None = None,
        device: str = "auto",
        precision: str = "auto",
        checkpoint_path: str | Path | None = None,
        trainer_options: dict[str, Any] | None = None,
        progress: bool = True,
        random_state: int = 0,
    ) -> None:
        # As scikit-learn asks: what is given, and nothing else.
        vars(self).update({name: value for name, value in locals().items() if name != "self"})

    def fit(
        self,
        X: Array,
        y: None = None,
        *,
        conditions: Conditions = None,
        validation: float | tuple | None = None,
        redraw: Callable[[int], tuple[Array, Array | None]] | None = None,
    ) -> Self:
        """Train on configurations, keep the weights of the best epoch, and return self.

        ValueError if a parameter or the data do not fit the model, or training diverges; a warning
        where columns of two letters are dead or doubled, rows too few or, split at random,
        correlated, or the model no better on held-out rows than independent sites.

        Args:
            X: ``(n_samples, n_sites)``: spins -1/+1, words 0/1, category codes or real values;
                directors ``(n_samples, n_sites, 3)``.
            conditions: ``(n_samples,)`` or ``(n_samples, n_conditions)``, the temperature first.
            validation: Fraction of rows held out at random, or held-out data (X, conditions); by
                default a tenth if there are at least 100 rows. Correlated samples should be split
                by chains: ``EquilibriumSamples.split``.
            redraw: ``redraw(epoch)`` returns fresh ``(X, conditions)`` of the same length.
        """
        from mfvae.vae.training import train

        started, given = time.perf_counter(), check_parameters(self.get_params())
        X = self._check_data(X, reset=True)
        self.configuration_ = configure(given, X, check_conditions(conditions, len(X)))
        if two_letters := LIKELIHOODS[self.likelihood] is Bernoulli:
            at_random = conditions is None and not isinstance(validation, tuple)
            in_time = at_random and X.min() == 0  # rows of spins stand by chain and temperature
            check_rows(X.max() == X, given["n_latents"], in_time=in_time)
        self.module_ = build_model(self.configuration_)
        training, held_out = self.as_tensors(X, conditions), None
        if isinstance(validation, tuple):
            if len(validation) != 2:
                raise ValueError("validation must be a fraction or a pair (X, conditions)")
            held_out = self.as_tensors(*validation)
        elif validation is not None or len(X) >= 100:
            fraction = check_fraction(0.1 if validation is None else validation, "validation")
            if len(X) < 2:
                raise ValueError("a validation fraction needs at least two samples")
            order = np.random.default_rng(given["random_state"]).permutation(len(X))
            rows = np.split(order, [min(len(X) - 1, max(1, int(fraction * len(X))))])
            held_out, training = (tuple(part[some] for part in training) for some in rows)
        self.module_.calibrate(*training)
        if given["polish_steps"] is None:
            straight = two_letters and self.configuration_["decoder"] == "linear"
            pays = straight and given["beta"] == 1 and given["n_epochs"] is None
            given["polish_steps"] = 400 if pays else 0
        n_batches = -(-len(training[0]) // given["batch_size"])
        if given["n_epochs"] is None:
            given["n_epochs"] = max(20, -(-given["n_steps"] // n_batches))
        if given["learning_rate"] is None:
            given["learning_rate"] = 1e-2 if self.configuration_["decoder"] == "linear" else 3e-3
        if not (redraw is None or callable(redraw)):
            raise TypeError(f"redraw must be a function or None, got {redraw!r}")
        draw = redraw and (lambda epoch: self.as_tensors(*redraw(epoch)))
        records = train(self.module_, training, held_out, given, draw, self.configuration_)
        if given["polish_steps"]:
            polish(self.module_, training, held_out or training, given)
        self.module_.eval()
        if held_out and two_letters and len(records) * n_batches >= 100:  # less is a trial
            evidence.check_gain(self.module_, training[0], *held_out, seed=given["random_state"])
        self.history_ = {key: [r[key] for r in records if key in r] for key in records[-1]}
        self.training_seconds_ = time.perf_counter() - started
        return self

    def fit_transform(
        self, X: Array, y: None = None, *, conditions: Conditions = None, **fit_options: Any
    ) -> Array:
        """Fit, then return ``transform(X, conditions)``; arguments as in ``fit``."""
        return self.fit(X, conditions=conditions, **fit_options).transform(X, conditions)

    @torch.no_grad()
    def sample(self, n_samples: int = 1, condition: Condition = None, *, seed: Seed) -> Array:
        """Return configurations drawn from the model, ``(n_samples, n_sites, …)``.

        Spins, words and codes come in the dtype of the training data, real values and directors as
        float32. The condition is one for all, a number or ``(n_conditions,)``, or one a sample.
        """
        z = self.latents_as_tensor(self.sample_prior(n_samples, condition, seed=seed))
        generator, likelihood = self.module_.generator(seed, 1), self.module_.likelihood
        emitted = map(self.module_.decoder, z.split(_ROWS))
        return likelihood.restore(torch.cat([likelihood.sample(p, generator) for p in emitted]))

    @torch.no_grad()
    def sample_prior(self, n_samples: int, condition: Condition = None, *, seed: Seed) -> Array:
        """Return latents ``(n_samples, n_latents)`` float32, those behind ``sample``."""
        check_is_fitted(self, "module_")
        conditions = self.standardized_condition(condition, n_samples)
        return self.module_.prior.sample(conditions, self.module_.generator(seed, 0)).cpu().numpy()

    @torch.no_grad()
    def log_prior(self, z: Array, condition: Condition = None) -> Array:
        """Return ln p(z | condition) of latents ``(n_samples, n_latents)``, float64 nats."""
        z = self.latents_as_tensor(z)
        conditions = self.standardized_condition(condition, len(z))
        return self.module_.prior.log_prob(z, conditions).double().cpu().numpy()

    @torch.no_grad()
    def encode(self, X: Array, conditions: Conditions = None) -> tuple[Array, Array]:
        """Return mean and deviation of q(z | x, c), each ``(n_samples, n_latents)`` float32."""
        x, c = self.as_tensors(X, conditions)
        parts = map(self.module_.posterior, x.split(_ROWS), c.split(_ROWS))
        mean, log_variance = map(torch.cat, zip(*parts, strict=True))
        return mean.cpu().numpy(), torch.exp(log_variance / 2).cpu().numpy()

    def transform(self, X: Array, conditions: Conditions = None) -> Array:
        """Return the mean of q(z | x, c), ``(n_samples, n_latents)`` float32."""
        return self.encode(X, conditions)[0]

    @torch.no_grad()
    def decode(self, z: Array) -> Array:
        """Return what the decoder emits at z, float32 ``(n_samples, n_sites, n_parameters)``.

        Bernoulli: the logit of the larger letter; the field on a spin is half of it.
        """
        z = self.latents_as_tensor(z)
        return self.module_.decoder(z).cpu().numpy()

    @torch.no_grad()
    def reconstruct_mean(self, z: Array) -> Array:
        """Return the mean configuration at z, in the user's letters, float32 like ``sample``'s."""
        z = self.latents_as_tensor(z)
        return self.module_.likelihood.mean(self.module_.decoder(z)).cpu().numpy()

    def score_samples(
        self,
        X: Array,
        conditions: Conditions = None,
        *,
        method: str = "iwae",
        n_importance: int = 64,
        tolerance: float = 1e-4,
        seed: Seed | None = None,
    ) -> Array:
        """Return ln p(x | c) of each configuration, or a bound, float64 ``(n_samples,)`` nats.

        Args:
            method: "iwae" or "elbo", bounds, or "quadrature" over one or two latents.
            n_importance: Latents drawn for each configuration by the bounds.
            tolerance: Error of the quadrature, in nats; RuntimeError if it is not reached.
            seed: Source of the latents; None takes ``random_state``, so that the call repeats.
        """
        check_choice(method, "method", ("iwae", "quadrature", "elbo"))
        x, c = self.as_tensors(X, conditions)
        if method == "quadrature":
            tolerance = check_number(tolerance, "tolerance", positive=True)
            return evidence.quadrature(self.module_, x, c, tolerance=tolerance).cpu().numpy()
        generator = self.module_.generator(self.random_state if seed is None else seed, 2)
        draws = check_count(n_importance, "n_importance"), generator
        return evidence.bound(self.module_, x, c, *draws, method=method).cpu().numpy()

    def score(self, X: Array, y: None = None, conditions: Conditions = None) -> float:
        """Return the mean of ``score_samples``, nats per configuration."""
        return float(self.score_samples(X, conditions).mean())

    @property
    def n_conditions_(self) -> int:
        """Number of conditions that the model was trained with."""
        return len(self.configuration_["condition_location"])

    def as_tensors(self, X: Array, conditions: Conditions) -> tuple[Tensor, Tensor]:
        """Return X and standardised conditions, checked, as the module takes them."""
        check_is_fitted(self, "module_")
        X = self._check_data(X, reset=False)
        conditions = check_conditions(conditions, len(X), self.n_conditions_)
        x = self.module_.likelihood.prepare(X).to(self.module_.device)
        return x, self.module_.standardize(conditions)

    def latents_as_tensor(self, z: Array) -> Tensor:
        """Return latents ``(n_samples, n_latents)`` as the module takes them."""
        check_is_fitted(self, "module_")
        z, n_latents = check_finite_array(z, "z", ndim=2), self.module_.prior.n_latents
        if z.shape[1] != n_latents:
            raise ValueError(f"z must have shape (n_samples, {n_latents}), got {z.shape}")
        return torch.from_numpy(z).to(self.module_.condition_location)

    def standardized_condition(self, condition: Condition, n_samples: int) -> Tensor:
        """Return ``(n_samples, n_conditions)`` in the module's units, of one condition or many."""
        n_samples = check_count(n_samples, "n_samples")
        if condition is not None and np.ndim(condition) < 2:
            condition = np.tile(check_finite_array(condition, "condition"), (n_samples, 1))
        return self.module_.standardize(check_conditions(condition, n_samples, self.n_conditions_))

    def _check_data(self, X: Array, *, reset: bool) -> Array:
        if np.ma.is_masked(X):
            raise ValueError("X must not be masked: fill or drop what is masked, no model sees it")
        if LIKELIHOODS[self.likelihood].data_ndim == 2:
            dtype = np.float64 if self.likelihood == "gaussian" else "numeric"
            try:
                return validate_data(self, X, reset=reset, dtype=dtype)
            except (TypeError, ValueError) as error:
                raise type(error)(f"X: {error}") from None
        X = check_finite_array(X, "X", ndim=3)
        if not reset and X.shape[1] != self.n_features_in_:
            raise ValueError(f"X has {X.shape[1]} sites, fit saw {self.n_features_in_}")
        self.n_features_in_ = X.shape[1]
        return X

    def save(self, path: str | Path) -> None:
        """Write the trained model to one file, or (OSError) leave what was there: no pickles."""
        check_is_fitted(self, "module_")
        state = {"history": self.history_, "training_seconds": self.training_seconds_}
        description = {"parameters": self.get_params(), "configuration": self.configuration_}
        write_model(check_path(path), {**description, "state": state}, self.module_)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Return the model that ``save`` wrote; ValueError if the file is not a readable one."""
        description, module = read_model(check_path(path))
        try:
            vae, state = cls(**description["parameters"]), description["state"]
            vae.history_, vae.training_seconds_ = state["history"], state["training_seconds"]
        except (TypeError, KeyError) as error:
            raise ValueError(f"{path} was not written by this class: {error}") from error
        vae.configuration_, vae.module_ = description["configuration"], module.eval()
        vae.n_features_in_ = vae.configuration_["n_sites"]
        return vae
