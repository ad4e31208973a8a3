"""A variational autoencoder as a rival: its likelihood by a stated method."""

from __future__ import annotations

import numpy as np

from mfvae._validation import check_choice, check_count, check_trained
from mfvae.vae.estimator import MeanFieldVAE

__all__ = ["ScoredVAE"]


class ScoredVAE:
    """A ``MeanFieldVAE`` whose ``score_samples`` uses one method, for ``compare_models``.

    Args:
        vae: Trained or not; ``fit`` trains it.
        method: How ln p(x) is found: "iwae", "elbo" or "quadrature" (to 1e-4 nats). The first two
            are bounds from below, on average over the latents drawn: the comparison is then unfair
            to the VAE, never to its rivals.
        n_importance: Latents drawn for each word ("iwae", "elbo").

    >>> words = (np.random.default_rng(0).random((200, 6)) < 0.3).astype(np.uint8)
    >>> vae = MeanFieldVAE(1, encoder="mlp", decoder="linear", n_epochs=1, progress=False)
    >>> ScoredVAE(vae, "quadrature").fit(words).score_samples(words[:2]).shape
    (2,)
    """

    def __init__(self, vae: MeanFieldVAE, method: str = "iwae", *, n_importance: int = 64) -> None:
        if not isinstance(vae, MeanFieldVAE):
            raise TypeError(f"vae must be a MeanFieldVAE, got {type(vae).__name__}")
        self.vae = vae
        self.method = check_choice(method, "method", ("iwae", "elbo", "quadrature"))
        self.n_importance = check_count(n_importance, "n_importance")

    def fit(self, X: np.ndarray, y: object = None) -> ScoredVAE:
        """Train the VAE on words ``X``, (n_words, n_cells), in any letters that it takes."""
        self.vae.fit(X)
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """Return ln p(x) of each word by the method, float64 (n_words,) nats."""
        return self.vae.score_samples(X, method=self.method, n_importance=self.n_importance)

    def sample(self, n_samples: int, *, seed: int | np.random.SeedSequence) -> np.ndarray:
        """Draw words, (n_samples, n_cells), in the letters of the training data."""
        return self.vae.sample(n_samples, seed=seed)

    @property
    def n_parameters(self) -> int:
        """Number of parameters of the words' law, in decoder and prior, not in the encoder."""
        module = check_trained(self.vae).module_
        return sum(p.numel() for part in (module.decoder, module.prior) for p in part.parameters())

    @property
    def fit_seconds(self) -> float:
        """Wall-clock time of training, also that of a model read from a file."""
        return self.vae.training_seconds_
