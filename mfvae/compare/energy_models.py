"""Laws of an energy: pairwise maximum entropy, and scikit-learn's restricted Boltzmann machine."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.neural_network import BernoulliRBM

from mfvae._validation import check_choice, check_count, check_number, check_seed
from mfvae.compare.rival import AnnealedRival
from mfvae.compare.simple_models import IndependentModel
from mfvae.systems.kernels.gibbs import gibbs_sweeps
from mfvae.systems.kernels.random import scalar_states

__all__ = ["PairwiseMaximumEntropy", "RestrictedBoltzmannMachine"]


class PairwiseMaximumEntropy(AnnealedRival):
    """``p(x) = exp(h·x + x·J·x/2) / Z`` of words: maximum entropy given means and pairs.

    Climbs the likelihood from the independent model: its gradient is the difference of means and
    pair products between the data and the model, the latter from persistent Gibbs chains (Tieleman
    2008); the iterates of the second half are averaged. Or climbs the pseudo-likelihood ``Σ_i ln
    p(x_i | others)`` (Besag 1975), exactly and to the top; or the likelihood from there.

    With ``count_potential`` the law has a factor ``exp V(K)`` as well, K the number of ones: the
    K-pairwise model (Tkačik et al. 2014), maximum entropy given also the law of K.

    Args:
        method: "likelihood", "pseudo-likelihood", or "both", the first from the second's top.
        count_potential: Whether to fit V, for which the likelihood is climbed in any case.
        ridge: Weight, in words, of ``Σ_{i<j} J_ij²/2`` against the log likelihood.
        n_steps, n_chains: Gradient steps; persistent chains.
        learning_rate: First step size, in units of the inverse variance of each statistic; falls to
            a tenth.
        n_annealing_chains, n_annealing_steps: Of annealed importance sampling.
        random_state: Seed of all chains.

    Attributes:
        field_ (ndarray, float64 (n_cells,)): The field h.
        couplings_ (ndarray, float64 (n_cells, n_cells)): The couplings J, symmetric, zero diagonal.
        potential_ (ndarray, float64 (n_cells + 1,)): V of every K, zero without.

    >>> rng = np.random.default_rng(0)
    >>> words = np.repeat(rng.random((2000, 1)) < 0.5, 2, axis=1).astype(np.uint8)
    >>> words[:500] = rng.random((500, 2)) < 0.5
    >>> model = PairwiseMaximumEntropy(learning_rate=0.2, n_steps=200).fit(words)
    >>> bool(model.couplings_[0, 1] > 2)
    True
    """

    _generator = staticmethod(scalar_states)

    def __init__(
        self,
        *,
        method: str = "likelihood",
        count_potential: bool = False,
        ridge: float = 10.0,
        n_steps: int = 1500,
        n_chains: int = 1000,
        learning_rate: float = 0.05,
        n_annealing_chains: int = 500,
        n_annealing_steps: int = 5000,
        random_state: int | np.random.SeedSequence = 0,
    ) -> None:
        methods = ("likelihood", "pseudo-likelihood", "both")
        self.method = check_choice(method, "method", methods)
        self.count_potential = bool(count_potential)
        self.ridge = check_number(ridge, "ridge", minimum=0.0)
        self.n_steps = check_count(n_steps, "n_steps")
        self.n_chains = check_count(n_chains, "n_chains", minimum=2)
        self.learning_rate = check_number(learning_rate, "learning_rate", positive=True)
        self.n_annealing_chains = check_count(n_annealing_chains, "n_annealing_chains", minimum=2)
        self.n_annealing_steps = check_count(n_annealing_steps, "n_annealing_steps")
        self.random_state = random_state

    @property
    def n_parameters(self) -> int:
        """Number of fitted parameters, one a cell and one a pair; V adds its own that are free."""
        n_cells = len(self.field_)
        return n_cells * (n_cells + 1) // 2 + self.count_potential * max(n_cells - 2, 0)

    def _fit(self, X: np.ndarray) -> None:
        seed, annealing = check_seed(self.random_state, "random_state").spawn(2)
        self.rates_ = IndependentModel().fit(X).probabilities_
        law = self._base_field, np.zeros((X.shape[1], X.shape[1]))
        if self.method != "likelihood":
            law = _climb_pseudo(X, law[0], self.ridge)
        law = [*law, np.zeros(X.shape[1] + 1)]
        if self.method != "pseudo-likelihood" or self.count_potential:
            law = self._climb(X, law, seed)
        self.field_, self.couplings_, self.potential_ = law
        self.log_normalizer_ = self.estimate_log_normalizer(seed=annealing)

    def _climb(self, X: np.ndarray, law: list, seed: np.random.SeedSequence) -> list[np.ndarray]:
        """Return field, couplings and potential after ``n_steps`` of persistent chains."""
        first, moves = seed.spawn(2)
        x = X[np.random.default_rng(first).integers(len(X), size=self.n_chains)].copy()
        state = scalar_states(moves, self.n_chains)
        # A pair is almost as stiff as its variance; the floor keeps rare ones from jumping.
        statistics = _moments(X)
        scales = [1.0 / (mean * (1 - mean) + 1e-3) for mean in statistics]
        scales[2] *= self.count_potential
        gibbs_sweeps(x, *law[:2], state, 100)
        half = self.n_steps // 2
        total = [np.zeros_like(part) for part in law]
        for step in range(self.n_steps):
            gibbs_sweeps(x, *law[:2], state, 5, law[2])
            rate = self.learning_rate * 0.1 ** (step / self.n_steps)
            pulls = [mean - own for mean, own in zip(statistics, _moments(x), strict=True)]
            pulls[1] -= self.ridge * law[1] / len(X)
            np.fill_diagonal(pulls[1], 0.0)
            law = [p + rate * s * f for p, s, f in zip(law, scales, pulls, strict=True)]
            if step >= half:
                total = [t + p for t, p in zip(total, law, strict=True)]
        return [part / (self.n_steps - half) for part in total]

    def _log_weight(self, X: np.ndarray) -> np.ndarray:
        V, X = self.potential_[X.sum(axis=1, dtype=np.int64)], X.astype(np.float64)
        return X @ self.field_ + 0.5 * np.einsum("ni,ni->n", X @ self.couplings_, X) + V

    def _log_ratio(self, x: np.ndarray, low: float, high: float) -> np.ndarray:
        return (high - low) * (self._log_weight(x) - x @ self._base_field)

    def _sweep(self, x: np.ndarray, beta: float, random: np.ndarray) -> np.ndarray:
        field = (1 - beta) * self._base_field + beta * self.field_
        gibbs_sweeps(x, field, beta * self.couplings_, random, 1, beta * self.potential_)
        return x


def _climb_pseudo(X: np.ndarray, field: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    """Return field and couplings at the top of pseudo-likelihood less the ridge."""
    n, n_cells = X.shape
    mean = X.mean(axis=0)
    x = (X - mean).astype(np.float32)  # centred: fields and couplings hardly interfere
    upper = np.triu_indices(n_cells, 1)

    def full(theta: np.ndarray) -> np.ndarray:
        J = np.zeros((n_cells, n_cells))
        J[upper] = theta[n_cells:]
        return J + J.T

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        h, J = theta[:n_cells], full(theta)
        value, pull_h, pull_J = 0.0, np.zeros(n_cells), np.zeros((n_cells, n_cells))
        for i in range(0, n, 4096):
            part, on = x[i : i + 4096], X[i : i + 4096]
            f = part @ J.astype(np.float32) + h.astype(np.float32)
            e = np.exp(-np.abs(f))
            value += float((np.maximum(f, 0) - on * f + np.log1p(e)).sum(dtype=np.float64))
            error = np.where(f >= 0, 1, e) / (1 + e) - on
            pull_h += error.sum(axis=0, dtype=np.float64)
            pull_J += part.T @ error
        pull_J = (pull_J + pull_J.T)[upper] + ridge * theta[n_cells:]
        value += ridge / 2 * float(theta[n_cells:] @ theta[n_cells:])
        return value / n, np.concatenate([pull_h, pull_J]) / n

    start = np.concatenate([field, np.zeros(len(upper[0]))])
    options = {"maxiter": 300, "maxcor": 20, "ftol": 1e-8, "gtol": 1e-6}
    theta = minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x
    couplings = full(theta)
    return theta[:n_cells] - couplings @ mean, couplings


def _moments(X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return means (n_cells,), pair products (n_cells, n_cells) and law of K (n_cells + 1,)."""
    blocks = (X[i : i + 8192].astype(np.float32) for i in range(0, len(X), 8192))
    pairs = sum((block.T @ block).astype(np.float64) for block in blocks) / len(X)
    counts = np.bincount(X.sum(axis=1, dtype=np.int64), minlength=X.shape[1] + 1)
    return np.diag(pairs).copy(), pairs, counts / len(X)


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
        weights_ (ndarray, float64 (n_hidden, n_cells)): The couplings W.
        hidden_field_, visible_field_ (ndarray, float64 (n_hidden,), (n_cells,)): c and a.

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
        return self.weights_.size + sum(self.weights_.shape)

    def _fit(self, X: np.ndarray) -> None:
        weights, order, annealing = check_seed(self.random_state, "random_state").spawn(3)
        seed, rng = int(weights.generate_state(1)[0]), np.random.default_rng(order)
        self.rates_ = IndependentModel().fit(X).probabilities_
        rbm = BernoulliRBM(self.n_hidden, batch_size=self.batch_size, random_state=seed)
        rbm.intercept_visible_ = self._base_field
        ends = range(self.batch_size, len(X), self.batch_size)
        for epoch in range(self.n_epochs):
            for index, batch in enumerate(np.split(rng.permutation(len(X)), ends)):
                done = (epoch + index / (len(ends) + 1)) / self.n_epochs
                rbm.learning_rate = self.learning_rate * (1 - done)
                rbm.partial_fit(X[batch].astype(np.float64))
        self.weights_ = rbm.components_
        self.hidden_field_, self.visible_field_ = rbm.intercept_hidden_, rbm.intercept_visible_
        self.log_normalizer_ = self.estimate_log_normalizer(seed=annealing)

    def _log_weight(self, X: np.ndarray) -> np.ndarray:
        value = np.empty(len(X))
        for i in range(0, len(X), 8192):
            v = X[i : i + 8192].astype(np.float64)
            inputs = v @ self.weights_.T + self.hidden_field_
            value[i : i + 8192] = v @ self.visible_field_ + np.logaddexp(0, inputs).sum(axis=1)
        return value

    def _log_ratio(self, x: np.ndarray, low: float, high: float) -> np.ndarray:
        inputs, _ = self._inputs(x)
        change = np.logaddexp(0, high * inputs) - np.logaddexp(0, low * inputs)
        visible = self.visible_field_ - self._base_field
        return (high - low) * (x @ visible) + change.sum(axis=1)

    def _sweep(self, x: np.ndarray, beta: float, random: np.random.Generator) -> np.ndarray:
        inputs, W = self._inputs(x)
        on = expit(beta * inputs)
        h = (random.random(on.shape) < on).astype(np.float32)
        field = (1 - beta) * self._base_field + beta * (h @ W + self.visible_field_)
        return (random.random(field.shape) < expit(field)).astype(np.uint8)

    def _inputs(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the inputs of the hidden units, and the weights in single precision."""
        W = self.weights_.astype(np.float32, order="C")
        return x.astype(np.float32) @ W.T + self.hidden_field_, W
