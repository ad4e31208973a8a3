"""The pairwise maximum-entropy model: mean rates and pair correlations, nothing more."""

from __future__ import annotations

import numpy as np
import scipy.optimize
from scipy.special import expit

from mfvae._validation import (
    check_choice,
    check_count,
    check_number,
    check_seed,
    check_words,
)
from mfvae.compare._gibbs import gibbs_sweeps, random_states
from mfvae.compare.annealing import AnnealedModel, IndependentStart

__all__ = ["PairwiseMaximumEntropy"]

_BLOCK = 8192


class PairwiseMaximumEntropy(AnnealedModel):
    """``p(x) = exp(h·x + x·J·x/2) / Z`` of words: maximum entropy given means and pairs.

    ``method="likelihood"`` climbs the likelihood from the independent model: its gradient is
    the difference of means and pair products between the data and the model, the latter from
    persistent Gibbs chains (Tieleman 2008); the iterates of the second half are averaged.
    ``"pseudo-likelihood"`` maximises Σ_i ln p(x_i | x_{-i}) of all cells jointly over
    symmetric J by L-BFGS (Besag 1975; Ravikumar, Wainwright & Lafferty 2010), which is right
    only if the data are of this model: on the retina it puts nearly all weight on
    words that never occur. ln Z is estimated by annealed importance sampling from the
    independent model.

    Args:
        method ({"likelihood", "pseudo-likelihood"}): What is maximised.
        ridge (float): Weight, in words, of ``Σ_{i<j} J_ij²/2`` against the log likelihood.
        n_steps, n_chains (int): Gradient steps and persistent chains ("likelihood").
        learning_rate (float): First step size, in units of the inverse variance of each statistic;
            falls to a tenth.
        n_annealing_chains, n_annealing_steps (int): Chains and temperatures of annealed importance
            sampling.
        random_state (int or numpy.random.SeedSequence): Seed of the chains.

    Attributes:
        field_ (ndarray, float64 (n_cells,)): h.
        couplings_ (ndarray, float64 (n_cells, n_cells)): J, symmetric, zero diagonal.
        log_normalizer_ (Estimate): ln Z with its standard error, nats; shared by all words.

    >>> rng = np.random.default_rng(0)
    >>> words = np.repeat(rng.random((2000, 1)) < 0.5, 2, axis=1).astype(np.uint8)
    >>> words[:500] = rng.random((500, 2)) < 0.5
    >>> model = PairwiseMaximumEntropy(learning_rate=0.2, n_steps=200).fit(words)
    >>> bool(model.couplings_[0, 1] > 2)
    True
    """

    def __init__(
        self,
        *,
        method: str = "likelihood",
        ridge: float = 10.0,
        n_steps: int = 1500,
        n_chains: int = 1000,
        learning_rate: float = 0.05,
        n_annealing_chains: int = 500,
        n_annealing_steps: int = 5000,
        random_state: int | np.random.SeedSequence = 0,
    ) -> None:
        self.method = check_choice(method, "method", ("likelihood", "pseudo-likelihood"))
        self.ridge = check_number(ridge, "ridge", minimum=0.0)
        self.n_steps = check_count(n_steps, "n_steps")
        self.n_chains = check_count(n_chains, "n_chains", minimum=2)
        self.learning_rate = check_number(learning_rate, "learning_rate", positive=True)
        self.n_annealing_chains = check_count(n_annealing_chains, "n_annealing_chains", minimum=2)
        self.n_annealing_steps = check_count(n_annealing_steps, "n_annealing_steps")
        check_seed(random_state, "random_state")
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: object = None) -> PairwiseMaximumEntropy:
        """Fit field and couplings to words ``X``, uint8 (n_words, n_cells).

        Raises ``ValueError`` unless every entry is 0 or 1.
        """
        X = check_words(X, name="X")
        chains, annealing = check_seed(self.random_state).spawn(2)
        self.base_rates_ = (X.sum(axis=0, dtype=np.int64) + 0.5) / (len(X) + 1.0)
        if self.method == "likelihood":
            self.field_, self.couplings_ = self._match_moments(X, chains)
        else:
            self.field_, self.couplings_ = self._maximise_pseudo_likelihood(X)
        self.log_normalizer_ = self.estimate_log_normalizer(seed=annealing)
        return self

    def _log_weight(self, X: np.ndarray) -> np.ndarray:
        """``h·x + x·J·x/2``."""
        X = X.astype(np.float64)
        return X @ self.field_ + 0.5 * np.einsum("ni,ni->n", X @ self.couplings_, X)

    def _path(self) -> _PairwisePath:
        return _PairwisePath(self.field_, self.couplings_, self.base_rates_)

    @property
    def n_parameters(self) -> int:
        """Number of fitted parameters: one a cell and one a pair."""
        self._check_fitted()
        n = len(self.field_)
        return n + n * (n - 1) // 2

    # -- fitting -------------------------------------------------------------------------

    def _maximise_pseudo_likelihood(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n_words, n = X.shape
        blocks = [X[i : i + _BLOCK].astype(np.float32) for i in range(0, n_words, _BLOCK)]
        off_diagonal = 1.0 - np.eye(n)

        def unpack(parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            couplings = parameters[n:].reshape(n, n) * off_diagonal
            return parameters[:n], (couplings + couplings.T) / 2

        def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
            field, couplings = unpack(parameters)
            value = self.ridge * np.sum(couplings**2) / 4
            by_field, by_coupling = np.zeros(n), self.ridge * couplings / 2
            single = couplings.astype(np.float32)
            for x in blocks:
                local = x @ single + field.astype(np.float32)
                value += float(np.sum(np.logaddexp(0, local) - x * local, dtype=np.float64))
                residual = expit(local) - x
                by_field += residual.sum(axis=0, dtype=np.float64)
                product = (residual.T @ x).astype(np.float64)
                by_coupling += (product + product.T) / 2
            gradient = np.concatenate([by_field, (by_coupling * off_diagonal).ravel()])
            return value / n_words, gradient / n_words

        logits = np.log(self.base_rates_) - np.log1p(-self.base_rates_)
        start = np.concatenate([logits, np.zeros(n * n)])
        options = {"maxiter": 200, "maxcor": 20}
        found = scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
        return unpack(found.x)

    def _match_moments(
        self,
        X: np.ndarray,
        seed: np.random.SeedSequence,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Climb the likelihood by its gradient, data moments minus model moments."""
        means, pairs = _moments(X)
        field = np.log(self.base_rates_) - np.log1p(-self.base_rates_)
        couplings = np.zeros_like(pairs)
        first, moves = seed.spawn(2)
        rng = np.random.default_rng(first)
        x = X[rng.integers(len(X), size=self.n_chains)].copy()
        state = random_states(self.n_chains, moves)
        scale = 1.0 / (means * (1 - means) + 1e-3)
        # a pair is almost as stiff as its variance; the floor keeps rare pairs from jumping
        pair_scale = 1.0 / (pairs * (1 - pairs) + 1e-3)
        gibbs_sweeps(x, field, couplings, state, 100)
        half = self.n_steps // 2
        sums, n_summed = [np.zeros_like(field), np.zeros_like(couplings)], 0
        for step in range(self.n_steps):
            gibbs_sweeps(x, field, couplings, state, 5)
            model_means, model_pairs = _moments(x)
            rate = self.learning_rate * 0.1 ** (step / self.n_steps)
            field = field + rate * scale * (means - model_means)
            pull = pairs - model_pairs - self.ridge * couplings / len(X)
            change = rate * pair_scale * pull
            np.fill_diagonal(change, 0.0)
            couplings = couplings + change
            if step >= half:
                sums[0] += field
                sums[1] += couplings
                n_summed += 1
        return sums[0] / n_summed, sums[1] / n_summed


class _PairwisePath(IndependentStart):
    """From the independent model to the pairwise one, linear in h and J."""

    def __init__(self, field: np.ndarray, couplings: np.ndarray, rates: np.ndarray) -> None:
        super().__init__(rates)
        self.field, self.couplings = field, couplings

    def log_ratio(self, x: np.ndarray, low: float, high: float) -> np.ndarray:
        x = x.astype(np.float64)
        full = x @ (self.field - self.base) + 0.5 * np.einsum("ni,ni->n", x @ self.couplings, x)
        return (high - low) * full

    def random_state(self, n_chains: int, seed: np.random.SeedSequence) -> np.ndarray:
        return random_states(n_chains, seed)

    def sweep(self, x: np.ndarray, beta: float, random: np.ndarray) -> np.ndarray:
        field = (1 - beta) * self.base + beta * self.field
        gibbs_sweeps(x, field, beta * self.couplings, random, 1)
        return x


def _moments(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means (n_cells,) and pair products (n_cells, n_cells) of words."""
    pairs = np.zeros((X.shape[1], X.shape[1]))
    for i in range(0, len(X), _BLOCK):
        block = X[i : i + _BLOCK].astype(np.float32)
        pairs += block.T @ block
    pairs /= len(X)
    return np.diag(pairs).copy(), pairs
