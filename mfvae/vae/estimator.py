"""MeanFieldVAE: the face of the package, a scikit-learn estimator."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from mfvae._validation import check_conditions, check_fraction, check_seed
from mfvae.vae.inference import Inference
from mfvae.vae.loop import TrainingOptions
from mfvae.vae.model import build_model
from mfvae.vae.storage import read_model, write_model
from mfvae.vae.training import train

__all__ = ["MeanFieldVAE"]


class MeanFieldVAE(Inference, DensityMixin, TransformerMixin, BaseEstimator):
    """A variational autoencoder whose decoder treats sites as independent given the latent.

    ``p(x | c) = ∫ dz p(z | c) prod_i p(x_i | z)``: a finite-size mean-field theory with
    ``n_latents`` collective variables (Biroli, Welling & Vitelli 2026). Conditions c, such as
    the temperature, enter the prior and the encoder, never the decoder.

    Args:
        n_latents (int): Number of latents.
        encoder ({"auto", "cnn", "mlp", "normalized-cnn", "set"}): "auto": "set" for directors;
            "cnn" where a ``lattice_shape`` is given or the number of sites is a square divisible by
            16; "mlp" otherwise.
        decoder ({"auto", "cnn", "linear", "mlp", "normalized-cnn"}): "auto": the encoder's mirror,
            "linear" for "set".
        likelihood (str): Law of a site given the latent: "bernoulli", "tempered", "categorical",
            "gaussian", "bingham" or "bingham-rotation".
        prior ({"spline", "normal", "mixture", "coupling"}): Law of the latent given the conditions.
        beta (float): Weight of the rate in the loss; 1 gives the evidence lower bound.
        lattice_shape ((int, int) or None): Rows and columns, needed by "cnn" where the number of
            sites is no square.
        encoder_options, decoder_options, prior_options, likelihood_options (dict or None): Keyword
            arguments of the bricks: channels, widths, n_bins, padding_mode, …
        n_epochs, batch_size (int): Passes through the training data, and configurations a step.
        learning_rate, weight_decay, momentum (float): Of AdamW; the momentum is the decay rate of
            its average gradient (the one-cycle schedule sets it itself).
        schedule ({"one-cycle", "exponential", "constant"}): Course of the learning rate.
        patience (int or None): Stop after so many epochs without a better validation loss.
        device (str): Lightning's accelerator: "auto", "cpu", "gpu", …
        precision (str): Lightning's precision; "auto" is bf16 where a GPU has it, else 32-bit.
        checkpoint_path (str or Path or None): Folder that keeps the end of every epoch; ``fit``
            goes on from what it finds there.
        trainer_options (dict or None): Further arguments of ``lightning.Trainer``, for example
            ``strategy`` and ``devices``.
        progress (bool): Show a progress bar.
        random_state (int): Seed of the initial weights, the order of the data, and the noise.

    Attributes:
        module_ (LatentVariableModel): The trained torch module.
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
        self.momentum = momentum
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

        Args:
            X (numpy.ndarray): ``(n_samples, n_sites)``: spins -1/+1, words 0/1, category codes or
                real values; directors ``(n_samples, n_sites, 3)``. Two-letter data are remembered
                and given back by ``sample``.
            y (None): Ignored.
            conditions (numpy.ndarray or None): ``(n_samples,)`` or ``(n_samples, n_conditions)``,
                the temperature first.
            validation (float or (X, conditions) or None): Fraction of rows held out at random, or
                held-out data; by default a tenth if there are at least 100 rows. Correlated samples
                should be split by chains: ``EquilibriumSamples.split``.
            redraw (callable or None): ``redraw(epoch)`` returns fresh ``(X, conditions)`` of the
                same length, in place of another pass through the same configurations.

        Returns:
            MeanFieldVAE: self

        Raises:
            TypeError, ValueError: If an argument or the data do not fit the model, or if training
                diverges.
        """
        started = time.perf_counter()
        self._check_parameters()
        X = self._check_data(X, reset=True)
        c = check_conditions(conditions, len(X))
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
        records = train(
            self.module_,
            training,
            held_out,
            self._training_options(),
            draw,
            self.configuration_,
        )
        self.module_.eval()
        self.history_ = {key: [r[key] for r in records if key in r] for key in records[-1]}
        self.training_seconds_ = time.perf_counter() - started
        return self

    def _training_options(self) -> TrainingOptions:
        given = {f.name: getattr(self, f.name) for f in fields(TrainingOptions) if f.name != "seed"}
        given["trainer_options"] = dict(self.trainer_options or {})
        return TrainingOptions(**given, seed=int(self.random_state))

    def _hold_out(self, data: tuple, fraction: float) -> tuple[tuple, tuple]:
        n_samples = len(data[0])
        if n_samples < 2:
            raise ValueError("a validation fraction needs at least two samples, got 1 sample")
        order = np.random.default_rng(check_seed(self.random_state)).permutation(n_samples)
        n_held_out = min(n_samples - 1, max(1, int(fraction * n_samples)))
        held_out, kept = np.split(order, [n_held_out])
        return tuple(t[kept] for t in data), tuple(t[held_out] for t in data)

    def fit_transform(
        self,
        X: np.ndarray,
        y: None = None,
        *,
        conditions: np.ndarray | None = None,
        **fit_options: Any,
    ) -> np.ndarray:
        """Fit, then return ``transform(X, conditions)``; arguments as in ``fit``."""
        return self.fit(X, conditions=conditions, **fit_options).transform(X, conditions)

    # -- storage ----------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the trained model to one file: weights and plain settings, no pickles.

        Raises:
            OSError: If the file cannot be written; a file that was there before is then untouched.
        """
        check_is_fitted(self, "module_")
        state = {"history": self.history_, "training_seconds": self.training_seconds_}
        write_model(Path(path), self.get_params(), self.configuration_, state, self.module_)

    @classmethod
    def load(cls, path: str | Path) -> MeanFieldVAE:
        """Read a model written by ``save``.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is damaged, of another format version, or not a model of this
                package.
        """
        parameters, configuration, state, module = read_model(Path(path))
        try:
            vae = cls(**parameters)
            vae.history_, vae.training_seconds_ = state["history"], state["training_seconds"]
            vae.n_features_in_ = configuration["n_sites"]
        except (TypeError, KeyError) as error:
            raise ValueError(f"{path} was not written by this class: {error}") from error
        vae.configuration_, vae.module_ = configuration, module.eval()
        return vae
