"""Restricted Boltzmann machine: scikit-learn's, with its likelihood."""

from __future__ import annotations

import numpy as np
from scipy.special import expit
from sklearn.neural_network import BernoulliRBM

from mfvae._validation import check_count, check_number, check_seed, check_words
from mfvae.compare.annealing import annealed_log_normalizer
from mfvae.systems.base import Estimate

__all__ = ["RestrictedBoltzmannMachine"]


class RestrictedBoltzmannMachine:
    """``p(v) = exp(a·v) Π_j (1 + e^{c_j + W_j·v}) / Z``, hidden units summed out.

    Trained by scikit-learn's ``BernoulliRBM`` (persistent contrastive divergence, Tieleman
    2008) with a learning rate that falls linearly to zero and visible fields that start at
    the mean rates. scikit-learn scores by a pseudo-likelihood; here the free energy is
    exact and ln Z comes from annealed importance sampling (Salakhutdinov & Murray 2008).

    Parameters
    ----------
    n_hidden : int
        Hidden units.
    learning_rate : float
        Of the first epoch.
    batch_size, n_epochs : int
        Words a step and passes through the words.
    n_annealing_chains, n_annealing_steps : int
        Chains and temperatures of annealed importance sampling.
    random_state : int or numpy.random.SeedSequence
        Seed of weights, order and chains.

    Attributes
    ----------
    rbm_ : sklearn.neural_network.BernoulliRBM
        The trained machine.
    log_normalizer_ : Estimate
        ln Z with its standard error, nats; shared by all words.

    Examples
    --------
    >>> words = np.repeat(np.eye(2, dtype=np.uint8), 50, axis=0)
    >>> model = RestrictedBoltzmannMachine(4, n_epochs=5, n_annealing_steps=100).fit(words)
    >>> model.sample(3, seed=0).shape
    (3, 2)
    """

    def __init__(
        self,
        n_hidden: int,
        *,
        learning_rate: float = 0.1,
        batch_size: int = 100,
        n_epochs: int = 20,
        n_annealing_chains: int = 500,
        n_annealing_steps: int = 5000,
        random_state: int | np.random.SeedSequence = 0,
    ) -> None:
        self.n_hidden = check_count(n_hidden, "n_hidden")
        self.learning_rate = check_number(learning_rate, "learning_rate", positive=True)
        self.batch_size = check_count(batch_size, "batch_size")
        self.n_epochs = check_count(n_epochs, "n_epochs")
        self.n_annealing_chains = check_count(n_annealing_chains, "n_annealing_chains", minimum=2)
        self.n_annealing_steps = check_count(n_annealing_steps, "n_annealing_steps")
        check_seed(random_state, "random_state")
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: object = None) -> RestrictedBoltzmannMachine:
        """Train on words ``X``, uint8 (n_words, n_cells).

        Raises ``ValueError`` unless every entry is 0 or 1.
        """
        X = check_words(X, name="X")
        weights, order, annealing = check_seed(self.random_state).spawn(3)
        rng = np.random.default_rng(order)
        self.base_rates_ = (X.sum(axis=0, dtype=np.int64) + 0.5) / (len(X) + 1.0)
        rbm = BernoulliRBM(
            self.n_hidden,
            batch_size=self.batch_size,
            random_state=int(weights.generate_state(1)[0]),
        )
        rbm.intercept_visible_ = np.log(self.base_rates_) - np.log1p(-self.base_rates_)
        n_batches = -(-len(X) // self.batch_size)
        for epoch in range(self.n_epochs):
            rows = rng.permutation(len(X))
            for index in range(n_batches):
                done = (epoch + index / n_batches) / self.n_epochs
                rbm.learning_rate = self.learning_rate * (1 - done)
                batch = rows[index * self.batch_size : (index + 1) * self.batch_size]
                rbm.partial_fit(X[batch].astype(np.float64))
        self.rbm_ = rbm
        self.log_normalizer_ = self.estimate_log_normalizer(seed=annealing)
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """Return ``ln p(x)`` of each word, float64 (n_words,) nats, up to the error of ln Z."""
        return self.log_weight(X) - float(self.log_normalizer_)

    def log_weight(self, X: np.ndarray) -> np.ndarray:
        """Return minus the free energy, ``a·v + Σ_j ln(1 + e^{c_j + W_j·v})``, (n_words,) nats."""
        rbm = self._fitted()
        X = check_words(X, rbm.components_.shape[1], "X")
        parts = []
        for i in range(0, len(X), 8192):
            v = X[i : i + 8192].astype(np.float64)
            inputs = v @ rbm.components_.T + rbm.intercept_hidden_
            parts.append(v @ rbm.intercept_visible_ + np.logaddexp(0, inputs).sum(axis=1))
        return np.concatenate(parts)

    @property
    def log_prob_stderr(self) -> float:
        """Standard error, in nats, that all log probabilities share: that of ln Z."""
        self._fitted()
        return self.log_normalizer_.stderr

    def estimate_log_normalizer(
        self,
        *,
        n_chains: int | None = None,
        n_temperatures: int | None = None,
        seed: int | np.random.SeedSequence,
    ) -> Estimate:
        """Return ln Z by annealed importance sampling: see ``annealed_log_normalizer``."""
        return annealed_log_normalizer(
            _MachinePath(self._fitted(), self.base_rates_),
            n_chains=n_chains or self.n_annealing_chains,
            n_temperatures=n_temperatures or self.n_annealing_steps,
            seed=seed,
        )

    def sample(
        self, n_samples: int, *, seed: int | np.random.SeedSequence, n_sweeps: int = 500
    ) -> np.ndarray:
        """Draw words, uint8 (n_samples, n_cells), each at the end of its own annealed chain.

        Half of the ``n_sweeps`` Gibbs sweeps lead from the independent model to this one,
        half are made at the model itself.
        """
        path = _MachinePath(self._fitted(), self.base_rates_)
        n_samples = check_count(n_samples, "n_samples")
        n_sweeps = check_count(n_sweeps, "n_sweeps", minimum=2)
        base, moves = check_seed(seed).spawn(2)
        x = path.draw_base(n_samples, np.random.default_rng(base))
        random = path.random_state(n_samples, moves)
        rise = np.linspace(0.0, 1.0, n_sweeps // 2 + 1)[1:]
        for beta in np.concatenate([rise, np.ones(n_sweeps - len(rise))]):
            x = path.sweep(x, beta, random)
        return x

    @property
    def n_parameters(self) -> int:
        """Number of fitted parameters: weights and both kinds of fields."""
        rbm = self._fitted()
        return rbm.components_.size + sum(rbm.components_.shape)

    def _fitted(self) -> BernoulliRBM:
        if not hasattr(self, "rbm_"):
            raise ValueError("this RestrictedBoltzmannMachine is not fitted yet: call fit(X) first")
        return self.rbm_


class _MachinePath:
    """From the independent model (hidden units idle) to the machine, linear in the energy."""

    def __init__(self, rbm: BernoulliRBM, rates: np.ndarray) -> None:
        self.rates = rates
        self.base = np.log(rates) - np.log1p(-rates)
        self.W = np.ascontiguousarray(rbm.components_, dtype=np.float32)
        self.visible, self.hidden = rbm.intercept_visible_, rbm.intercept_hidden_
        idle = len(self.hidden) * np.log(2.0)
        self.log_base_normalizer = float(np.logaddexp(0, self.base).sum() + idle)

    def draw_base(self, n_chains: int, rng: np.random.Generator) -> np.ndarray:
        return (rng.random((n_chains, len(self.rates))) < self.rates).astype(np.uint8)

    def _inputs(self, x: np.ndarray) -> np.ndarray:
        return x.astype(np.float32) @ self.W.T + self.hidden

    def log_ratio(self, x: np.ndarray, low: float, high: float) -> np.ndarray:
        inputs = self._inputs(x)
        change = np.logaddexp(0, high * inputs) - np.logaddexp(0, low * inputs)
        return (high - low) * (x @ (self.visible - self.base)) + change.sum(axis=1)

    def random_state(self, n_chains: int, seed: np.random.SeedSequence) -> np.random.Generator:
        return np.random.default_rng(seed)

    def sweep(self, x: np.ndarray, beta: float, random: np.random.Generator) -> np.ndarray:
        on = expit(beta * self._inputs(x))
        h = (random.random(on.shape) < on).astype(np.float32)
        field = (1 - beta) * self.base + beta * (h @ self.W + self.visible)
        return (random.random(field.shape) < expit(field)).astype(np.uint8)
