"""MeanFieldVAE: the face of the package, a scikit-learn estimator."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, DensityMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from mfvae._validation import (
    check_choice,
    check_count,
    check_finite_array,
    check_fraction,
    check_number,
    check_seed,
)
from mfvae.vae import evidence
from mfvae.vae.model import DECODERS, ENCODERS, LIKELIHOODS, PRIORS, build_model
from mfvae.vae.storage import read_model, write_model
from mfvae.vae.training import TrainingOptions, train

__all__ = ["MeanFieldVAE"]

_EVALUATION_ROWS = 8192
_SCHEDULES = ("one-cycle", "exponential", "constant")


class MeanFieldVAE(DensityMixin, TransformerMixin, BaseEstimator):
    """A variational autoencoder whose decoder treats sites as independent given the latent.

    ``p(x | c) = ∫ dz p(z | c) prod_i p(x_i | z)``: a finite-size mean-field theory with
    ``n_latents`` collective variables (Biroli, Welling & Vitelli 2026). Conditions c, such as
    the temperature, enter the prior and the encoder, never the decoder.

    Parameters
    ----------
    n_latents : int
        Number of latents.
    encoder : {"auto", "cnn", "mlp", "set"}
        "auto": "set" for directors; "cnn" where a ``lattice_shape`` is given or the number
        of sites is a square divisible by 16; "mlp" otherwise.
    decoder : {"auto", "cnn", "linear", "mlp"}
        "auto": the encoder's mirror, "linear" for "set".
    likelihood : {"bernoulli", "categorical", "gaussian", "bingham", "bingham-rotation"}
        Law of a site given the latent.
    prior : {"spline", "normal", "mixture", "coupling"}
        Law of the latent given the conditions.
    beta : float
        Weight of the rate in the loss; 1 gives the evidence lower bound.
    lattice_shape : (int, int) or None
        Rows and columns, needed by "cnn" where the number of sites is no square.
    encoder_options, decoder_options, prior_options, likelihood_options : dict or None
        Keyword arguments of the bricks: channels, widths, n_bins, padding_mode, …
    n_epochs, batch_size : int
        Passes through the training data, and configurations a step.
    learning_rate, weight_decay : float
        Of AdamW.
    schedule : {"one-cycle", "exponential", "constant"}
        Course of the learning rate.
    patience : int or None
        Stop after so many epochs without a better validation loss.
    device : str
        Lightning's accelerator: "auto", "cpu", "gpu", …
    precision : str
        Lightning's precision; "auto" is bf16 where a GPU has it, else 32-bit.
    checkpoint_path : str or Path or None
        Folder that keeps the end of every epoch; ``fit`` goes on from what it finds there.
    trainer_options : dict or None
        Further arguments of ``lightning.Trainer``, for example ``strategy`` and ``devices``.
    progress : bool
        Show a progress bar.
    random_state : int
        Seed of the initial weights, the order of the data, and the noise.

    Attributes
    ----------
    module_ : LatentVariableModel
        The trained torch module.
    history_ : dict of list
        Losses and rate (nats per configuration), learning rate and seconds of every epoch.
    training_seconds_ : float
        Wall-clock time of ``fit``.
    n_features_in_ : int
        Number of sites.

    Examples
    --------
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
        schedule: str = "one-cycle",
        patience: int | None = None,
        device: str = "auto",
        precision: str = "auto",
        checkpoint_path: str | Path | None = None,
        trainer_options: dict[str, Any] | None = None,
        progress: bool = True,
        random_state: int = 0,
    ) -> None:
        self.n_latents = n_latents
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihood
        self.prior = prior
        self.beta = beta
        self.lattice_shape = lattice_shape
        self.encoder_options = encoder_options
        self.decoder_options = decoder_options
        self.prior_options = prior_options
        self.likelihood_options = likelihood_options
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.patience = patience
        self.device = device
        self.precision = precision
        self.checkpoint_path = checkpoint_path
        self.trainer_options = trainer_options
        self.progress = progress
        self.random_state = random_state

    # -- training ---------------------------------------------------------------------

    def fit(
        self,
        X: np.ndarray,
        y: None = None,
        *,
        conditions: np.ndarray | None = None,
        validation: float | tuple | None = None,
        redraw: Callable[[int], tuple[np.ndarray, np.ndarray | None]] | None = None,
    ) -> MeanFieldVAE:
        """Train on configurations and keep the weights of the best epoch.

        Parameters
        ----------
        X : numpy.ndarray
            ``(n_samples, n_sites)``: spins -1/+1, words 0/1, category codes or real values;
            directors ``(n_samples, n_sites, 3)``. Two-letter data are remembered and given
            back by ``sample``.
        y : None
            Ignored.
        conditions : numpy.ndarray or None
            ``(n_samples,)`` or ``(n_samples, n_conditions)``, the temperature first.
        validation : float or (X, conditions) or None
            Fraction of rows held out at random, or held-out data; by default a tenth if
            there are at least 100 rows. Correlated samples should be split by chains:
            ``EquilibriumSamples.split``.
        redraw : callable or None
            ``redraw(epoch)`` returns fresh ``(X, conditions)`` of the same length, in place
            of another pass through the same configurations.

        Returns
        -------
        MeanFieldVAE
            self

        Raises
        ------
        TypeError, ValueError
            If an argument or the data do not fit the model, or if training diverges.
        """
        started = time.perf_counter()
        self._check_parameters()
        X = self._check_data(X, reset=True)
        c = self._check_conditions(conditions, len(X), reset=True)
        self.configuration_ = self._resolve(X, c)
        self.module_ = build_model(self.configuration_)
        training = self._tensors(X, c)
        held_out = None
        if isinstance(validation, tuple):
            if len(validation) != 2:
                raise ValueError("validation must be a fraction or a pair (X, conditions)")
            held_out = self._tensors(*self._check_pair(*validation))
        elif validation is not None or len(X) >= 100:
            fraction = check_fraction(0.1 if validation is None else validation, "validation")
            training, held_out = self._hold_out(training, fraction)
        self.module_.calibrate(*training)
        draw = None
        if redraw is not None:
            draw = lambda epoch: self._tensors(*self._check_pair(*redraw(epoch)))  # noqa: E731
        records = train(self.module_, training, held_out, self._training_options(), draw)
        self.module_.eval()
        self.history_ = {key: [r[key] for r in records if key in r] for key in records[-1]}
        self.training_seconds_ = time.perf_counter() - started
        return self

    def _training_options(self) -> TrainingOptions:
        given = {f.name: getattr(self, f.name) for f in fields(TrainingOptions) if f.name != "seed"}
        given["trainer_options"] = dict(self.trainer_options or {})
        return TrainingOptions(**given, seed=self.random_state)

    def _hold_out(self, data: tuple, fraction: float) -> tuple[tuple, tuple]:
        n_samples = len(data[0])
        if n_samples < 2:
            raise ValueError("a validation fraction needs at least two samples, got 1 sample")
        order = np.random.default_rng(check_seed(self.random_state)).permutation(n_samples)
        n_held_out = min(n_samples - 1, max(1, int(fraction * n_samples)))
        held_out, kept = np.split(order, [n_held_out])
        return tuple(t[kept] for t in data), tuple(t[held_out] for t in data)

    # -- what the trained model says ---------------------------------------------------

    @torch.no_grad()
    def sample(
        self,
        n_samples: int = 1,
        condition: float | np.ndarray | None = None,
        *,
        seed: int | np.random.SeedSequence,
    ) -> np.ndarray:
        """Draw configurations from the model.

        Parameters
        ----------
        n_samples : int
            Number of configurations.
        condition : float or numpy.ndarray or None
            One condition for all, a number or ``(n_conditions,)``, or one a sample,
            ``(n_samples, n_conditions)``.
        seed : int or numpy.random.SeedSequence
            Source of randomness.

        Returns
        -------
        numpy.ndarray
            ``(n_samples, n_sites, …)`` in the letters and dtype of the training data.
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
        z = self._check_latents(z)
        conditions = self._spread_condition(condition, len(z))
        return self.module_.prior.log_prob(z, conditions).double().cpu().numpy()

    @torch.no_grad()
    def encode(
        self, X: np.ndarray, conditions: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of q(z | x, c).

        Parameters
        ----------
        X, conditions : numpy.ndarray
            As in ``fit``.

        Returns
        -------
        (numpy.ndarray, numpy.ndarray)
            Each ``(n_samples, n_latents)`` float32.
        """
        x, c = self._checked_tensors(X, conditions)
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

        Returns
        -------
        numpy.ndarray
            ``(n_samples, n_sites, n_parameters)`` float32. Bernoulli: the logit of the
            larger letter; the field on a spin is half of it.
        """
        return self.module_.decoder(self._check_latents(z)).cpu().numpy()

    @torch.no_grad()
    def reconstruct_mean(self, z: np.ndarray) -> np.ndarray:
        """Return the mean configuration at latents ``(n_samples, n_latents)``.

        Returns
        -------
        numpy.ndarray
            ``(n_samples, n_sites, …)`` float32, in the letters of the training data.
        """
        parameters = self.module_.decoder(self._check_latents(z))
        return self.module_.likelihood.mean(parameters).cpu().numpy()

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

        Parameters
        ----------
        X, conditions : numpy.ndarray
            As in ``fit``.
        method : {"iwae", "quadrature", "elbo"}
            Importance-weighted bound, quadrature over one or two latents, or the evidence
            lower bound.
        n_importance : int
            Latents drawn for each configuration ("iwae", "elbo").
        tolerance : float
            Error of the quadrature, in nats.
        seed : int or numpy.random.SeedSequence or None
            Source of the latents; None takes ``random_state``, so that the call repeats.

        Returns
        -------
        numpy.ndarray
            ``(n_samples,)`` float64, nats for the whole configuration.

        Raises
        ------
        ValueError
            If ``method`` is unknown, or "quadrature" is asked of more than two latents.
        RuntimeError
            If the quadrature does not reach its tolerance.
        """
        check_choice(method, "method", ("iwae", "quadrature", "elbo"))
        x, c = self._checked_tensors(X, conditions)
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

    # -- storage ----------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the trained model to one file: weights and plain settings, no pickles.

        Raises
        ------
        OSError
            If the file cannot be written; a file that was there before is then untouched.
        """
        check_is_fitted(self, "module_")
        state = {"history": self.history_, "training_seconds": self.training_seconds_}
        write_model(Path(path), self.get_params(), self.configuration_, state, self.module_)

    @classmethod
    def load(cls, path: str | Path) -> MeanFieldVAE:
        """Read a model written by ``save``.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is damaged, of another format version, or not a model of this package.
        """
        parameters, configuration, state, module = read_model(Path(path))
        vae = cls(**parameters)
        vae.configuration_, vae.module_ = configuration, module.eval()
        vae.history_, vae.training_seconds_ = state["history"], state["training_seconds"]
        vae.n_features_in_ = configuration["n_sites"]
        return vae

    # -- checking ---------------------------------------------------------------------

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

    def _check_conditions(
        self, conditions: np.ndarray | None, n_samples: int, *, reset: bool = False
    ) -> np.ndarray:
        n_expected = None if reset else len(self.configuration_["condition_location"])
        if conditions is None:
            if n_expected:
                raise ValueError(f"the model was trained with {n_expected} condition(s): pass them")
            return np.zeros((n_samples, 0))
        c = check_finite_array(conditions, "conditions")
        c = c[:, None] if c.ndim == 1 else c
        if c.ndim != 2 or len(c) != n_samples:
            raise ValueError(
                f"conditions must have shape ({n_samples},) or ({n_samples}, n_conditions), "
                f"got {np.shape(conditions)}"
            )
        if n_expected is not None and c.shape[1] != n_expected:
            raise ValueError(f"the model has {n_expected} condition(s), got {c.shape[1]}")
        return c

    def _check_pair(
        self, X: np.ndarray, conditions: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        X = self._check_data(X, reset=False)
        return X, self._check_conditions(conditions, len(X))

    def _check_latents(self, z: np.ndarray) -> torch.Tensor:
        check_is_fitted(self, "module_")
        z = check_finite_array(z, "z", ndim=2)
        if z.shape[1] != self.n_latents:
            raise ValueError(f"z must have shape (n_samples, {self.n_latents}), got {z.shape}")
        return torch.from_numpy(z).to(self.module_.device, self.module_.dtype)

    def _resolve(self, X: np.ndarray, conditions: np.ndarray) -> dict[str, Any]:
        """Return the plain description from which ``build_model`` makes the module."""
        n_sites = X.shape[1]
        settings = LIKELIHOODS[self.likelihood].settings_from_data(
            X, **(self.likelihood_options or {})
        )
        shape, side = self.lattice_shape, round(n_sites**0.5)
        if shape is not None:
            if len(tuple(shape)) != 2:
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
        if shape is None and "cnn" in (encoder, decoder):
            raise ValueError(f"{n_sites} sites are no square: give lattice_shape=(rows, columns)")
        spread = conditions.std(axis=0)
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
            "condition_location": conditions.mean(axis=0).tolist(),
            "condition_scale": np.where(spread > 0, spread, 1.0).tolist(),
            "seed": int(self.random_state),
        }

    # -- tensors ----------------------------------------------------------------------

    def _tensors(self, X: np.ndarray, conditions: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.module_.likelihood.prepare(X).to(self.module_.device)
        return x, self._standardize(conditions)

    def _standardize(self, conditions: np.ndarray) -> torch.Tensor:
        c = torch.from_numpy(conditions).to(self.module_.device, self.module_.dtype)
        return (c - self.module_.condition_location) / self.module_.condition_scale

    def _checked_tensors(
        self, X: np.ndarray, conditions: np.ndarray | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        check_is_fitted(self, "module_")
        return self._tensors(*self._check_pair(X, conditions))

    def _generator(self, seed: int | np.random.SeedSequence, stream: int) -> torch.Generator:
        child = check_seed(seed).spawn(stream + 1)[stream]
        state = int(child.generate_state(1, np.uint64)[0])
        return torch.Generator(self.module_.device).manual_seed(state % 2**63)

    def _spread_condition(
        self, condition: float | np.ndarray | None, n_samples: int
    ) -> torch.Tensor:
        if condition is not None and np.ndim(condition) < 2:
            condition = np.atleast_1d(check_finite_array(condition, "condition"))
            condition = np.tile(condition, (n_samples, 1))
        return self._standardize(self._check_conditions(condition, n_samples))

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
        conditions = self._spread_condition(condition, n_samples)
        return self.module_.prior.sample(conditions, self._generator(seed, stream))
