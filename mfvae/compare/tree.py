"""The cheapest law with correlations: the best tree of pairs (Chow & Liu 1968)."""

from __future__ import annotations

import numpy as np
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree
from scipy.special import rel_entr

from mfvae.compare.rival import Rival

__all__ = ["ChowLiuTree"]

__all__ = ["ChowLiuTree"]


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
