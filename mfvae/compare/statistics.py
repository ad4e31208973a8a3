"""Do a model's words look like the data's? Counts, overlaps, covariances, triplets, patterns."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from mfvae._validation import check_count, check_seed, check_words
from mfvae.measure.laws import jensen_shannon, overlap_law, spike_count_law

__all__ = ["StatisticsTable", "compare_statistics", "pair_covariances", "triplet_moments"]


def pair_covariances(words: np.ndarray) -> np.ndarray:
    """Return ``⟨x_i x_j⟩ - ⟨x_i⟩⟨x_j⟩`` for all i < j, float64 (n_pairs,).

    Args:
        words (array_like, uint8 (n_words, n_cells)): Words of 0 and 1; pairs come in the order of
            ``numpy.triu_indices(n_cells, 1)``.

    >>> pair_covariances([[0, 0, 0], [1, 1, 0]])
    array([0.25, 0.  , 0.  ])
    """
    words = check_words(words)
    pairs = np.zeros((words.shape[1], words.shape[1]))
    for i in range(0, len(words), 8192):
        block = words[i : i + 8192].astype(np.float32)
        pairs += block.T @ block
    mean = np.diag(pairs) / len(words)
    covariance = pairs / len(words) - np.outer(mean, mean)
    return covariance[np.triu_indices(words.shape[1], 1)]


def triplet_moments(words: np.ndarray, triplets: np.ndarray) -> np.ndarray:
    """Return ``⟨(x_i - ⟨x_i⟩)(x_j - ⟨x_j⟩)(x_k - ⟨x_k⟩)⟩`` of triplets of cells.

    Args:
        words (array_like, uint8 (n_words, n_cells)): Words of 0 and 1.
        triplets (array_like, int (n_triplets, 3)): Three different cells a row.

    Returns:
        ndarray, float64 (n_triplets,): Third joint cumulants.

    >>> triplet_moments([[0, 0, 0], [1, 1, 1], [0, 0, 0], [0, 0, 0]], [[0, 1, 2]])
    array([0.09375])
    """
    words = check_words(words)
    triplets = np.asarray(triplets)
    if triplets.ndim != 2 or triplets.shape[1] != 3 or triplets.dtype.kind not in "iu":
        raise ValueError(f"triplets must be integers (n_triplets, 3), got {triplets.shape}")
    centred = np.ascontiguousarray((words - words.mean(axis=0)).T.astype(np.float32))
    i, j, k = triplets.T
    products = [
        np.mean(centred[a] * centred[b] * centred[c], dtype=np.float64)
        for a, b, c in zip(i, j, k, strict=True)
    ]
    return np.array(products)


class StatisticsTable:
    """What ``compare_statistics`` found; its text is a table.

    Attributes:
        rows (dict of str to dict): For every model: ``spike_count`` and ``overlap``, Jensen-Shannon
            divergences of P(K) and P(q), nats; ``covariance`` and ``triplet``, correlation
            coefficients with the data's; ``covariance_slope``, the model's covariances regressed on
            the data's; ``patterns``, the mean Jensen-Shannon divergence of the laws of words of a
            few cells.
    """

    def __init__(self, rows: dict[str, dict[str, float]], n_subset: int) -> None:
        self.rows, self.n_subset = rows, n_subset

    def __repr__(self) -> str:
        width = max(5, *(len(name) for name in self.rows))
        lines = [
            f"{'model':<{width}}  {'JS P(K)':>9}  {'JS P(q)':>9}  {'pairs r':>8}  {'slope':>6}  "
            f"{'triplets r':>10}  {f'JS {self.n_subset} cells':>12}"
        ]
        lines += [
            f"{name:<{width}}  {r['spike_count']:9.5f}  {r['overlap']:9.5f}  "
            f"{r['covariance']:8.3f}  {r['covariance_slope']:6.3f}  {r['triplet']:10.3f}  "
            f"{r['patterns']:12.5f}"
            for name, r in self.rows.items()
        ]
        return "\n".join(lines)


def compare_statistics(
    samples: Mapping[str, np.ndarray],
    test: np.ndarray,
    *,
    n_triplets: int = 1000,
    n_active: int = 40,
    n_subset: int = 10,
    n_subsets: int = 20,
    seed: int | np.random.SeedSequence = 0,
) -> StatisticsTable:
    """Hold samples of models against data, statistic by statistic.

    Args:
        samples (mapping of str to ndarray, uint8 (n_words, n_cells)): Words drawn from each model;
            other words of the data among them show what the size of the sample alone does.
        test (ndarray, uint8 (n_test, n_cells)): The data.
        n_triplets, n_active (int): Random triplets among the most active cells of the data.
        n_subset, n_subsets (int): Size and number of random sets of active cells whose words are
            counted (at most 16 cells).
        seed (int or numpy.random.SeedSequence): Which triplets and sets.

    Returns:
        StatisticsTable

    Raises:
        TypeError, ValueError: If an argument is not as described.
    """
    if not isinstance(samples, Mapping) or not samples:
        raise TypeError("samples must be a mapping of names to words, with at least one")
    test = check_words(test, name="test")
    n_cells = test.shape[1]
    samples = {name: check_words(x, n_cells, name) for name, x in samples.items()}
    n_active = min(check_count(n_active, "n_active", minimum=3), n_cells)
    n_subset = min(check_count(n_subset, "n_subset", maximum=16), n_active)
    rng = np.random.default_rng(check_seed(seed))
    active = np.argsort(-test.sum(axis=0, dtype=np.int64), kind="stable")[:n_active]
    triplets = np.array(list(combinations(active, 3)))
    n_triplets = min(check_count(n_triplets, "n_triplets", minimum=2), len(triplets))
    triplets = triplets[rng.choice(len(triplets), n_triplets, replace=False)]
    n_subsets = check_count(n_subsets, "n_subsets")
    subsets = [rng.choice(active, n_subset, replace=False) for _ in range(n_subsets)]
    covariance, triplet = pair_covariances(test), triplet_moments(test, triplets)
    counts, overlaps = spike_count_law(test), overlap_law(test)
    rows = {}
    for name, x in samples.items():
        mine = pair_covariances(x)
        divergences = [
            float(jensen_shannon(_word_law(test[:, s]), _word_law(x[:, s]))) for s in subsets
        ]
        rows[name] = {
            "spike_count": float(jensen_shannon(counts, spike_count_law(x))),
            "overlap": float(jensen_shannon(overlaps, overlap_law(x))),
            "covariance": _correlation(mine, covariance),
            "covariance_slope": float(np.polyfit(covariance, mine, 1)[0]),
            "triplet": _correlation(triplet_moments(x, triplets), triplet),
            "patterns": float(np.mean(divergences)),
        }
    return StatisticsTable(rows, n_subset)


def _word_law(words: np.ndarray) -> np.ndarray:
    """Return the relative frequencies of all words of a few cells, (2^n,)."""
    index = words @ (1 << np.arange(words.shape[1]))
    return np.bincount(index, minlength=2 ** words.shape[1]) / len(words)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return Pearson's correlation, 0 where one side does not vary."""
    if a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])
