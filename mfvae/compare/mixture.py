"""Mixtures of Bernoulli products, fitted by expectation maximisation."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from mfvae._validation import check_count, check_number, check_seed, check_words

__all__ = ["BernoulliMixture"]

_BLOCK = 16384  # words a matrix product: responsibilities stay in the cache


class BernoulliMixture:
    """A mixture of Bernoulli products: one discrete latent state, cells independent given it.

    ``p(x) = Σ_k w_k Π_i p_ki^{x_i} (1 − p_ki)^{1 − x_i}``, fitted by expectation
    maximisation (Dempster, Laird & Rubin 1977; Juan & Vidal 2002 for Bernoulli mixtures).
    The maximisation step is smoothed towards the mean rate r_i of the training words,
    ``p_ki = (Σ_n R_nk x_ni + a r_i) / (Σ_n R_nk + a)`` with R the responsibilities: the
    posterior mode of a Beta prior worth ``a`` words, which keeps rare cells of rare
    components off probability zero. Several initialisations are refined briefly and the
    best is run to convergence; repeated words are counted once, with a weight.

    Args:
        n_components (int): Number of components K.
        n_init (int): Number of random initialisations.
        max_iter (int): Most iterations of the final run.
        tol (float): Stop when the mean log likelihood gains less than ``tol`` nats a word in an
            iteration.
        smoothing (float): Weight ``a > 0`` of the prior, in words.
        random_state (int or numpy.random.SeedSequence): Seed of the initialisations.

    Attributes:
        weights_ (ndarray, float64 (n_components,)): Mixture weights w.
        probabilities_ (ndarray, float64 (n_components, n_cells)): Probability of a 1 for each
            component and cell.
        history_ (list of float): Training log likelihood in nats a word after each iteration of the
            final run.

    >>> rng = np.random.default_rng(0)
    >>> words = np.repeat(rng.random((1000, 1)) < 0.5, 4, axis=1).astype(np.uint8)
    >>> model = BernoulliMixture(2).fit(words)
    >>> model.score_samples(np.array([[1, 1, 1, 1]])).round(2) > -0.8
    array([ True])
    """

    def __init__(
        self,
        n_components: int,
        *,
        n_init: int = 3,
        max_iter: int = 200,
        tol: float = 1e-4,
        smoothing: float = 1.0,
        random_state: int | np.random.SeedSequence = 0,
    ) -> None:
        self.n_components = check_count(n_components, "n_components")
        self.n_init = check_count(n_init, "n_init")
        self.max_iter = check_count(max_iter, "max_iter")
        self.tol = check_number(tol, "tol", minimum=0.0)
        self.smoothing = check_number(smoothing, "smoothing", positive=True)
        check_seed(random_state, "random_state")
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: object = None) -> BernoulliMixture:
        """Fit weights and probabilities to words ``X``, uint8 (n_words, n_cells).

        Raises ``ValueError`` unless every entry is 0 or 1.
        """
        X = check_words(X, name="X")
        words, counts = _distinct(X)
        rates = (counts @ words + 0.5) / (counts.sum() + 1.0)
        short = min(10, self.max_iter)
        runs = []
        for child in check_seed(self.random_state).spawn(self.n_init):
            start = self._initialise(words, counts, rates, np.random.default_rng(child))
            iterations = self.max_iter if self.n_init == 1 else short
            runs.append(self._run(words, counts, rates, *start, iterations))
        weights, p, history = max(runs, key=lambda run: run[2][-1])
        if self.n_init > 1 and self.max_iter > short:
            weights, p, more = self._run(words, counts, rates, weights, p, self.max_iter - short)
            history = history + more
        self.weights_, self.probabilities_, self.history_ = weights, p, history
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """Return ``ln p(x)`` of each word, float64 (n_words,), in nats."""
        weights, p = self._fitted()
        X = check_words(X, p.shape[1], "X")
        return np.concatenate(
            [
                logsumexp(_log_joint(X[i : i + _BLOCK], weights, p, np.float64), axis=1)
                for i in range(0, len(X), _BLOCK)
            ]
        )

    def responsibilities(self, X: np.ndarray) -> np.ndarray:
        """Return the posterior of the component, float64 (n_words, n_components)."""
        weights, p = self._fitted()
        joint = _log_joint(check_words(X, p.shape[1], "X"), weights, p, np.float64)
        return np.exp(joint - logsumexp(joint, axis=1, keepdims=True))

    def sample(self, n_samples: int, *, seed: int | np.random.SeedSequence) -> np.ndarray:
        """Draw independent words, uint8 (n_samples, n_cells)."""
        weights, p = self._fitted()
        n_samples = check_count(n_samples, "n_samples")
        rng = np.random.default_rng(check_seed(seed))
        words = np.empty((n_samples, p.shape[1]), dtype=np.uint8)
        cumulative = np.cumsum(weights / weights.sum())
        for i in range(0, n_samples, _BLOCK):
            block = words[i : i + _BLOCK]
            component = np.searchsorted(cumulative[:-1], rng.random(len(block)), side="right")
            block[:] = rng.random(block.shape) < p[component]
        return words

    @property
    def n_parameters(self) -> int:
        """Number of free parameters: weights (less one) and probabilities."""
        return self._fitted()[1].size + self.n_components - 1

    def _initialise(
        self, words: np.ndarray, counts: np.ndarray, rates: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Start each component near the mean of a few random words (half mean rate)."""
        chosen = rng.choice(len(words), size=(self.n_components, 10), p=counts / counts.sum())
        p = 0.5 * rates + 0.5 * words[chosen].mean(axis=1, dtype=np.float64)
        return np.full(self.n_components, 1.0 / self.n_components), p

    def _run(
        self,
        words: np.ndarray,
        counts: np.ndarray,
        rates: np.ndarray,
        weights: np.ndarray,
        p: np.ndarray,
        iterations: int,
    ) -> tuple[np.ndarray, np.ndarray, list[float]]:
        history: list[float] = []
        total = counts.sum()
        for _ in range(iterations):
            mass = np.zeros(self.n_components)
            ones = np.zeros_like(p)
            log_likelihood = 0.0
            for i in range(0, len(words), _BLOCK):
                block = words[i : i + _BLOCK].astype(np.float32)
                count = counts[i : i + _BLOCK]
                joint = _log_joint(block, weights, p, np.float32)
                top = joint.max(axis=1, keepdims=True)
                np.exp(joint - top, out=joint)
                evidence = joint.sum(axis=1, dtype=np.float64)
                log_likelihood += count @ (np.log(evidence) + top[:, 0])
                joint *= (count / evidence).astype(np.float32)[:, None]
                mass += joint.sum(axis=0, dtype=np.float64)
                ones += joint.T @ block
            history.append(float(log_likelihood / total))
            weights = (mass + 1e-3) / (mass + 1e-3).sum()
            p = (ones + self.smoothing * rates) / (mass[:, None] + self.smoothing)
            p = np.clip(p, 1e-9, 1 - 1e-9)
            if len(history) > 1 and history[-1] - history[-2] < self.tol:
                break
        return weights, p, history

    def _fitted(self) -> tuple[np.ndarray, np.ndarray]:
        if not hasattr(self, "weights_"):
            raise ValueError("this BernoulliMixture is not fitted yet: call fit(X) first")
        return self.weights_, self.probabilities_


def _log_joint(words: np.ndarray, weights: np.ndarray, p: np.ndarray, dtype: type) -> np.ndarray:
    """Return ``ln w_k + ln p(x|k)``, (n_words, n_components)."""
    silent = np.log1p(-p)
    logits = (np.log(p) - silent).astype(dtype)
    offset = (np.log(weights) + silent.sum(axis=1)).astype(dtype)
    return words.astype(dtype, copy=False) @ logits.T + offset


def _distinct(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct words and how often each occurs (float64)."""
    packed = np.packbits(X, axis=1)
    rows = np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1])))[:, 0]
    _, index, counts = np.unique(rows, return_index=True, return_counts=True)
    return X[index], counts.astype(np.float64)
