"""What rivals share: all of them, and those whose law is known up to a factor."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np
from scipy.special import logsumexp
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from mfvae._validation import check_count, check_path, check_seed, check_two_letters
from mfvae.systems.base import Estimate
from mfvae.vae.storage import replace_file

__all__ = ["AnnealedRival", "Rival"]


class Rival(BaseEstimator):
    """A law of binary words, fitted to words, with log probabilities in nats and independent draws.

    Words are ``(n_words, n_cells)``, of 0 and 1 or of spins -1 and +1, which ``sample`` gives back;
    other entries, or another number of cells than in training, are a ``ValueError``. A subclass
    defines ``n_parameters`` and, of checked words 0/1, ``_fit(X)``, ``_log_prob(X)`` and
    ``_draw(n_samples, seed)``.
    """

    def fit(self, X: np.ndarray, y: object = None) -> Self:
        """Fit the law to words ``X``, uint8 (n_words, n_cells), and return the model."""
        up = check_two_letters(X, "X")
        self.n_features_in_ = X.shape[1]
        self.letters_ = (-1, 1) if (np.asarray(X) == -1).any() else (0, 1)
        self._fit(up.astype(np.uint8))
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """Return ``ln p(x)`` of each word of ``X``, float64 (n_words,), in nats."""
        check_is_fitted(self)
        up = check_two_letters(X, "X")
        if up.shape[1] != self.n_features_in_:
            raise ValueError(f"X must have shape (n_words, {self.n_features_in_}), got {up.shape}")
        return self._log_prob(up.astype(np.uint8))

    def score(self, X: np.ndarray, y: object = None) -> float:
        """Return the mean of ``score_samples``, nats a word."""
        return float(self.score_samples(X).mean())

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one npz file, no pickles, or (OSError) leave what was there."""
        check_is_fitted(self)
        facts, arrays = {"class": type(self).__name__, "parameters": self.get_params()}, {}
        for name, value in vars(self).items():
            if name.endswith("_"):
                value = (value.value, value.stderr) if isinstance(value, Estimate) else value
                arrays[name] = np.array(value, dtype=np.float64)
        facts = json.dumps(facts, default=lambda seed: int(seed.entropy))
        replace_file(check_path(path), lambda stream: np.savez(stream, facts=facts, **arrays))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Return the model that ``save`` of this class wrote; ValueError if the file is no such."""
        path = check_path(path)
        try:
            with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as archive:
                facts, arrays = json.loads(str(archive["facts"])), dict(archive)
            if facts["class"] != cls.__name__:
                raise ValueError(f"it holds a {facts['class']}")
            model = cls(**facts["parameters"])
        except FileNotFoundError:
            raise
        except Exception as error:  # damaged, in whichever of a zip archive's many ways
            raise ValueError(f"{path} holds no {cls.__name__}: {error}") from error
        del arrays["facts"]
        model.n_features_in_ = int(arrays.pop("n_features_in_"))
        model.letters_ = tuple(arrays.pop("letters_").astype(int).tolist())
        for name, value in arrays.items():
            if name == "log_normalizer_":
                value = Estimate(*value.tolist(), exact=False)
            setattr(model, name, value.tolist() if name == "history_" else value)
        return model

    def sample(self, n_samples: int, *, seed: int | np.random.SeedSequence) -> np.ndarray:
        """Draw independent words, (n_samples, n_cells): uint8, or int8 if trained on spins."""
        check_is_fitted(self)
        words = self._draw(check_count(n_samples, "n_samples"), check_seed(seed))
        return 2 * words.astype(np.int8) - 1 if self.letters_ == (-1, 1) else words


class AnnealedRival(Rival):
    """A rival ``p(x) = f(x) / Z``: laws f_β lead from independent cells (β = 0) to f (β = 1).

    A subclass has the arguments ``n_annealing_chains`` and ``n_annealing_steps``; its ``_fit`` sets
    ``rates_`` (n_cells,), those at β = 0, first and ``log_normalizer_``, ln Z in nats, last. It has
    ``_log_weight(X)``, ln f of each word; ``_log_ratio(x, low, high)``, ln f_high - ln f_low; and
    ``_sweep(x, beta, random)``, a Gibbs sweep that leaves f_β invariant.
    """

    n_sweeps = 500  # behind a sample: half on the way to the model, half at the model itself
    n_hidden = 0  # binary units beside the cells, free at β = 0
    _generator = staticmethod(lambda seed, n_chains: np.random.default_rng(seed))

    @property
    def log_prob_stderr(self) -> float:
        """Standard error of ln Z, nats, which all log probabilities share."""
        check_is_fitted(self)
        return self.log_normalizer_.stderr

    def estimate_log_normalizer(
        self, *, seed: int | np.random.SeedSequence, reverse: bool = False
    ) -> Estimate:
        """Return ln Z of the fitted law by annealed importance sampling, nats.

        Each chain starts with a draw from the independent cells and takes one Gibbs sweep at every
        β while its weight collects ``ln f_β'(x) - ln f_β(x)``; the mean weight is unbiased for Z/Z₀
        (Neal, R. M. (2001), Statistics and Computing 11, 125), its log low by about half the
        squared standard error, the spread of the chains, which says nothing of modes not found.
        In ``reverse``, from draws of the model down to independent cells, it is unbiased for Z₀/Z,
        and ln Z comes out as much too high (Grosse, Ghahramani & Adams (2015), arXiv:1511.02543).
        """
        check_is_fitted(self)
        n_chains, child = self.n_annealing_chains, check_seed(seed)
        x, random = self._start(n_chains, child)
        betas = np.linspace(0.0, 1.0, self.n_annealing_steps + 1)
        if reverse:
            x, betas = self._draw(n_chains, child), betas[::-1]
        log_weights = np.zeros(n_chains)
        for here, there in pairwise(betas):
            log_weights += self._log_ratio(x, here, there)
            x = self._sweep(x, there, random) if there != betas[-1] else x
        log_mean = logsumexp(log_weights) - np.log(n_chains)
        stderr = np.exp(log_weights - log_mean).std(ddof=1) / np.sqrt(n_chains)
        log_base = float(np.logaddexp(0, self._base_field).sum()) + self.n_hidden * np.log(2.0)
        log_ratio = -log_mean if reverse else log_mean
        return Estimate(log_base + log_ratio, stderr=float(stderr), exact=False)

    @property
    def _base_field(self) -> np.ndarray:
        """Log odds of the independent cells, (n_cells,)."""
        return np.log(self.rates_) - np.log1p(-self.rates_)

    def _log_prob(self, X: np.ndarray) -> np.ndarray:
        return self._log_weight(X) - float(self.log_normalizer_)

    def _draw(self, n_samples: int, seed: np.random.SeedSequence) -> np.ndarray:
        x, random = self._start(n_samples, seed)
        rise = np.linspace(0.0, 1.0, self.n_sweeps // 2 + 1)[1:]
        for beta in np.concatenate([rise, np.ones(self.n_sweeps - len(rise))]):
            x = self._sweep(x, beta, random)
        return x

    def _start(self, n_chains: int, seed: np.random.SeedSequence) -> tuple[np.ndarray, object]:
        """Return exact draws at β = 0 and what the sweeps draw from."""
        base, moves = seed.spawn(2)
        u = np.random.default_rng(base).random((n_chains, len(self.rates_)))
        return (u < self.rates_).astype(np.uint8), self._generator(moves, n_chains)
