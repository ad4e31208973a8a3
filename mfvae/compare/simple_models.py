"""Laws fitted by counting: independent cells, the best tree of pairs, mixtures of products."""

import numpy as np
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree
from scipy.special import logsumexp, rel_entr

from mfvae._validation import check_count, check_number, check_seed
from mfvae.compare.rival import Rival

__all__ = ["BernoulliMixture", "ChowLiuTree", "IndependentModel"]

_BLOCK = 16384  # words a matrix product: responsibilities stay in the cache


class IndependentModel(Rival):
    """A product of Bernoulli laws, one firing probability a cell: the model without correlations.

    ``p_i = (c_i + 1/2) / (n + 1)``, with ``c_i`` of n words in which cell i is 1: the posterior
    mean under Jeffreys' prior, so that a cell silent in training keeps a finite log probability.

    Attributes:
        probabilities_ (ndarray, float64 (n_cells,)): Probability of a 1 for each cell.

    >>> words = np.array([[0, 1], [0, 0], [0, 1], [0, 0]], dtype=np.uint8)
    >>> model = IndependentModel().fit(words)
    >>> model.probabilities_
    array([0.1, 0.5])
    >>> model.score_samples(words[:1]).round(4)
    array([-0.7985])
    """

    @property
    def n_parameters(self) -> int:
        """Number of fitted parameters, one a cell."""
        return len(self.probabilities_)

    def _fit(self, X: np.ndarray) -> None:
        self.probabilities_ = (X.sum(axis=0, dtype=np.int64) + 0.5) / (len(X) + 1.0)

    def _log_prob(self, X: np.ndarray) -> np.ndarray:
        p = self.probabilities_
        return X @ (np.log(p) - np.log1p(-p)) + np.log1p(-p).sum()

    def _draw(self, n_samples: int, seed: np.random.SeedSequence) -> np.ndarray:
        u = np.random.default_rng(seed).random((n_samples, len(self.probabilities_)))
        return (u < self.probabilities_).astype(np.uint8)


class ChowLiuTree(Rival):
    """``p(x) = Π_i p(x_i | x_parent(i))`` on the tree of largest likelihood, fitted exactly.

    That is the spanning tree of largest total mutual information of its pairs (Chow, C. & Liu, C.
    (1968), IEEE Trans. Inf. Theory 14, 462). To the counts a word of fair coins is added, a quarter
    for each state of a pair, so that no word is impossible.

    Attributes:
        parents_ (ndarray, float64 (n_cells,)): The parent of each cell; -1 for the root, cell 0.
        probabilities_ (ndarray, float64 (n_cells, 2)): Of a 1, given that the parent is 0 or 1.

    >>> words = np.repeat(np.eye(2, dtype=np.uint8), 50, axis=0)
    >>> ChowLiuTree().fit(words).score_samples(words[:1]).round(2)
    array([-0.7])
    """

    @property
    def n_parameters(self) -> int:
        """Number of fitted parameters, one for the root and two for every other cell."""
        return 2 * len(self.parents_) - 1

    def _fit(self, X: np.ndarray) -> None:
        x = X.astype(np.float64)
        rates = (x.sum(axis=0) + 0.5) / (len(x) + 1)
        both = (x.T @ x + 0.25) / (len(x) + 1)
        p, q = rates[:, None], rates[None, :]
        laws = np.stack([both, p - both, q - both, 1 - p - q + both])  # of 11, 10, 01 and 00
        products = np.stack([p * q, p * (1 - q), (1 - p) * q, (1 - p) * (1 - q)])
        information = rel_entr(laws, products).sum(axis=0)
        # The largest tree is the smallest of lengths above zero, which SciPy takes for edges.
        tree = minimum_spanning_tree(1.0 + information.max() - information)
        _, parents = breadth_first_order(tree, 0, directed=False)
        self.parents_ = np.maximum(parents, -1).astype(np.float64)
        mother = np.maximum(parents, 0)
        on = both[np.arange(len(rates)), mother]
        off = rates - on
        self.probabilities_ = np.stack([off / (1 - rates[mother]), on / rates[mother]], axis=1)
        self.probabilities_[0] = rates[0]

    def _log_prob(self, X: np.ndarray) -> np.ndarray:
        p = self._given(X)
        return np.log(np.where(X == 1, p, 1 - p)).sum(axis=1)

    def _draw(self, n_samples: int, seed: np.random.SeedSequence) -> np.ndarray:
        u = np.random.default_rng(seed).random((n_samples, len(self.parents_)))
        words = np.zeros(u.shape, dtype=np.uint8)
        for _ in self.parents_:  # a cell is right once its parent is
            before, words = words, (u < self._given(words)).astype(np.uint8)
            if np.array_equal(before, words):
                break
        return words

    def _given(self, X: np.ndarray) -> np.ndarray:
        """Return the probability of a 1 for each cell of each word, given its parent."""
        mother = np.maximum(self.parents_, 0).astype(np.int64)
        return np.where(X[:, mother] == 1, *self.probabilities_.T[::-1])


class BernoulliMixture(Rival):
    """A mixture of Bernoulli products: one discrete latent state, cells independent given it.

    ``p(x) = Σ_k w_k Π_i p_ki^{x_i} (1 − p_ki)^{1 − x_i}``, fitted by expectation maximisation
    (Dempster, Laird & Rubin 1977; Juan & Vidal 2002). The maximisation step is smoothed towards the
    mean rate r_i of the words, ``p_ki = (Σ_n R_nk x_ni + r_i) / (Σ_n R_nk + 1)`` with R the
    responsibilities: the posterior mode of a Beta prior worth one word, which keeps rare cells of
    rare components off probability zero. Several initialisations are refined briefly and the best
    is run to convergence; repeated words are counted once, with a weight.

    Args:
        n_components: Number of components K.
        n_init: Number of random initialisations.
        max_iter, tol: The final run ends after so many iterations, or gaining less nats a word.
        random_state: Seed of the initialisations.

    Attributes:
        weights_ (ndarray, float64 (n_components,)): Mixture weights w.
        probabilities_ (ndarray, float64 (n_components, n_cells)): Probability p of a 1.
        history_ (list of float): Training log likelihood, nats a word, after each iteration.

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
        random_state: int | np.random.SeedSequence = 0,
    ) -> None:
        self.n_components = check_count(n_components, "n_components")
        self.n_init = check_count(n_init, "n_init")
        self.max_iter = check_count(max_iter, "max_iter")
        self.tol = check_number(tol, "tol", minimum=0.0)
        self.random_state = random_state

    @property
    def n_parameters(self) -> int:
        """Number of free parameters, weights (less one) and probabilities."""
        return self.probabilities_.size + self.n_components - 1

    def _fit(self, X: np.ndarray) -> None:
        packed = np.ascontiguousarray(np.packbits(X, axis=1))  # rows as bytes sort fast
        rows = packed.view(np.dtype((np.void, packed.shape[1])))[:, 0]
        _, index, counts = np.unique(rows, return_index=True, return_counts=True)
        short = self.max_iter if self.n_init == 1 else min(10, self.max_iter)
        rates = IndependentModel().fit(X).probabilities_
        words, counts, runs = X[index], counts.astype(np.float64), []

        def climb(weights: np.ndarray, p: np.ndarray, n_iterations: int) -> tuple:
            """Return weights, probabilities and log likelihoods after expectation maximisation."""
            history: list[float] = []
            for _ in range(n_iterations):
                mass, ones, log_likelihood = np.zeros(self.n_components), np.zeros_like(p), 0.0
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
                history.append(float(log_likelihood / counts.sum()))
                weights = (mass + 1e-3) / (mass + 1e-3).sum()
                p = np.clip((ones + rates) / (mass[:, None] + 1.0), 1e-9, 1 - 1e-9)
                if len(history) > 1 and history[-1] - history[-2] < self.tol:
                    break
            return weights, p, history

        for child in check_seed(self.random_state, "random_state").spawn(self.n_init):
            # Each component starts near the mean of a few random words.
            shape, rng = (self.n_components, 10), np.random.default_rng(child)
            chosen = rng.choice(len(words), size=shape, p=counts / counts.sum())
            p = 0.5 * rates + 0.5 * words[chosen].mean(axis=1, dtype=np.float64)
            runs.append(climb(np.full(self.n_components, 1.0 / self.n_components), p, short))
        weights, p, history = max(runs, key=lambda run: run[2][-1])
        if self.max_iter > short:
            weights, p, more = climb(weights, p, self.max_iter - short)
            history += more
        self.weights_, self.probabilities_, self.history_ = weights, p, history

    def _log_prob(self, X: np.ndarray) -> np.ndarray:
        blocks = (X[i : i + _BLOCK] for i in range(0, len(X), _BLOCK))
        joints = (_log_joint(b, self.weights_, self.probabilities_, np.float64) for b in blocks)
        return np.concatenate([logsumexp(joint, axis=1) for joint in joints])

    def _draw(self, n_samples: int, seed: np.random.SeedSequence) -> np.ndarray:
        rng = np.random.default_rng(seed)
        words = np.empty((n_samples, self.n_features_in_), dtype=np.uint8)
        cumulative = np.cumsum(self.weights_ / self.weights_.sum())
        for block in (words[i : i + _BLOCK] for i in range(0, n_samples, _BLOCK)):
            component = np.searchsorted(cumulative[:-1], rng.random(len(block)), side="right")
            block[:] = rng.random(block.shape) < self.probabilities_[component]
        return words


def _log_joint(words: np.ndarray, weights: np.ndarray, p: np.ndarray, dtype: type) -> np.ndarray:
    """Return ``ln w_k + ln p(x|k)``, (n_words, n_components)."""
    silent = np.log1p(-p)
    logits = (np.log(p) - silent).astype(dtype)
    offset = (np.log(weights) + silent.sum(axis=1)).astype(dtype)
    return words.astype(dtype, copy=False) @ logits.T + offset
