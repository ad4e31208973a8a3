"""Restricted Boltzmann machine: scikit-learn's, with its likelihood."""

from __future__ import annotations

import numpy as np
from scipy.special import expit
from sklearn.neural_network import BernoulliRBM

from mfvae._validation import check_count, check_number, check_seed
from mfvae.compare.annealing import AnnealedRival
from mfvae.compare.independent import IndependentModel

__all__ = ["RestrictedBoltzmannMachine"]


class RestrictedBoltzmannMachine(AnnealedRival):
    """``p(v) = exp(a·v) Π_j (1 + e^{c_j + W_j·v}) / Z``, hidden units summed out.

    Trained by scikit-learn's ``BernoulliRBM`` (persistent contrastive divergence, Tieleman 2008)
    with a learning rate that falls linearly to zero and visible fields that start at the mean
    rates. ln Z comes from annealed importance sampling (Salakhutdinov & Murray 2008).

    Args:
        n_hidden: Hidden units.
        learning_rate: Of the first epoch.
        batch_size, n_epochs: Words a step; passes through the words.
        n_annealing_chains, n_annealing_steps: Of annealed importance sampling.
        random_state: Seed of weights, order and chains.

    Attributes:
        rbm_ (sklearn.neural_network.BernoulliRBM): The trained machine.

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
        self.random_state = random_state

    @property
    def n_parameters(self) -> int:
        """Number of fitted parameters, weights and both kinds of fields."""
        return self.rbm_.components_.size + sum(self.rbm_.components_.shape)

    def _fit(self, X: np.ndarray) -> None:
        weights, order, annealing = check_seed(self.random_state, "random_state").spawn(3)
        seed, rng = int(weights.generate_state(1)[0]), np.random.default_rng(order)
        self.independent_ = IndependentModel().fit(X)
        rbm = self.rbm_ = BernoulliRBM(self.n_hidden, batch_size=self.batch_size, random_state=seed)
        rbm.intercept_visible_ = self._base_field
        ends = range(self.batch_size, len(X), self.batch_size)
        for epoch in range(self.n_epochs):
            for index, batch in enumerate(np.split(rng.permutation(len(X)), ends)):
                done = (epoch + index / (len(ends) + 1)) / self.n_epochs
                rbm.learning_rate = self.learning_rate * (1 - done)
                rbm.partial_fit(X[batch].astype(np.float64))
        self.log_normalizer_ = self.estimate_log_normalizer(seed=annealing)

    def _log_weight(self, X: np.ndarray) -> np.ndarray:
        rbm, value = self.rbm_, np.empty(len(X))
        for i in range(0, len(X), 8192):
            v = X[i : i + 8192].astype(np.float64)
            inputs = v @ rbm.components_.T + rbm.intercept_hidden_
            value[i : i + 8192] = v @ rbm.intercept_visible_ + np.logaddexp(0, inputs).sum(axis=1)
        return value

    def _log_ratio(self, x: np.ndarray, low: float, high: float) -> np.ndarray:
        inputs, _ = self._inputs(x)
        change = np.logaddexp(0, high * inputs) - np.logaddexp(0, low * inputs)
        visible = self.rbm_.intercept_visible_ - self._base_field
        return (high - low) * (x @ visible) + change.sum(axis=1)

    def _sweep(self, x: np.ndarray, beta: float, random: np.random.Generator) -> np.ndarray:
        inputs, W = self._inputs(x)
        on = expit(beta * inputs)
        h = (random.random(on.shape) < on).astype(np.float32)
        field = (1 - beta) * self._base_field + beta * (h @ W + self.rbm_.intercept_visible_)
        return (random.random(field.shape) < expit(field)).astype(np.uint8)

    def _inputs(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the inputs of the hidden units, and the weights in single precision."""
        W = self.rbm_.components_.astype(np.float32, order="C")
        return x.astype(np.float32) @ W.T + self.rbm_.intercept_hidden_, W
