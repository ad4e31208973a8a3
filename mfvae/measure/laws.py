"""Laws of discrete quantities, counted from samples, and how far two of them are apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import rel_entr

from mfvae._validation import check_count, check_finite_array, check_probabilities, check_seed
from mfvae.measure._jackknife import blocks_of, jackknife, spread
from mfvae.systems.base import Estimate

__all__ = ["EmpiricalLaw", "jensen_shannon", "overlap_law", "spike_count_law"]


@dataclass(frozen=True)
class EmpiricalLaw:
    """Relative frequencies of a discrete quantity.

    Attributes:
        values (ndarray of float64, shape (n_values,)): The values the quantity can take, ascending.
        probabilities (ndarray of float64, shape (n_values,)): Their relative frequencies, of sum 1.
        stderr (ndarray of float64, shape (n_values,)): Jackknife standard errors of the
            frequencies.
        block_counts (ndarray of int64, shape (n_blocks, n_values)): How often each value was seen
            in each block of rows.
    """

    values: np.ndarray
    probabilities: np.ndarray
    stderr: np.ndarray
    block_counts: np.ndarray = field(repr=False)

    @property
    def mean(self) -> Estimate:
        """Mean of the quantity, in its own unit."""
        return jackknife(self.block_counts, lambda counts: counts @ self.values / counts.sum(-1))

    @property
    def variance(self) -> Estimate:
        """Variance of the quantity, in its own unit squared."""

        def variance(counts: np.ndarray) -> np.ndarray:
            p = counts / counts.sum(axis=-1, keepdims=True)
            return p @ self.values**2 - (p @ self.values) ** 2

        return jackknife(self.block_counts, variance)


def overlap_law(
    x: np.ndarray,
    *,
    n_partners: int = 8,
    n_blocks: int = 64,
    seed: int | np.random.SeedSequence = 0,
) -> EmpiricalLaw:
    """Return the law P(q) of the overlap q = Σ_i s_i s'_i / n of two independent configurations.

    The blocks of rows are matched at random in pairs, never with the next block, and every row
    of a block is compared with rows of the partner block: no row meets its own neighbours in
    time, and the matched pairs of blocks are independent units for the jackknife.

    Args:
        x (array_like, shape (n_samples, n_sites)): Spins -1 and +1, or words of 0 and 1 (taken as
            spins -1 and +1); at least 4 rows.
        n_partners (int): With how many rows each row is compared (fewer if the blocks are shorter).
        n_blocks (int): Number of blocks, at least 4 (fewer if there are fewer rows).
        seed (int or numpy.random.SeedSequence): Source of the random matching.

    Returns:
        EmpiricalLaw: Over q = -1, -1 + 2/n, …, 1.

    Raises:
        TypeError, ValueError: If ``x`` does not hold at least 4 rows of spins or words, or for bad
            counts or seed.
    """
    spins = _check_two_letters(x)
    n_samples, n_sites = spins.shape
    if n_samples < 4:
        raise ValueError(f"x must have at least 4 rows, got shape {spins.shape}")
    n_partners = check_count(n_partners, "n_partners")
    n_pairs = min(check_count(n_blocks, "n_blocks", minimum=4), n_samples) // 2
    rng = np.random.default_rng(check_seed(seed))
    size = n_samples // (2 * n_pairs)  # rows beyond 2 * n_pairs * size are left out
    matching = rng.permutation(2 * n_pairs).reshape(2, n_pairs)
    while np.any(np.abs(matching[0] - matching[1]) == 1):
        matching = rng.permutation(2 * n_pairs).reshape(2, n_pairs)
    left, right = matching[..., None] * size + np.arange(size)
    right = rng.permuted(right, axis=1)
    counts = np.zeros((n_pairs, n_sites + 1), dtype=np.int64)
    spins = spins.astype(np.float32)  # sums of at most 2²⁴ signs are exact
    for pair in range(n_pairs):
        for shift in range(min(n_partners, size)):
            other = np.roll(right[pair], shift)
            q = np.einsum("ij,ij->i", spins[left[pair]], spins[other])
            agreements = ((q + n_sites) / 2).astype(np.int64)
            counts[pair] += np.bincount(agreements, minlength=n_sites + 1)
    return _law_of(2 * np.arange(n_sites + 1) / n_sites - 1, counts)


def spike_count_law(words: np.ndarray, *, n_blocks: int = 64) -> EmpiricalLaw:
    """Return the law P(K) of the number K of ones (or up-spins) in a word.

    Args:
        words (array_like, shape (n_words, n_cells)): Words of 0 and 1, or spins -1 and +1.
        n_blocks (int): Number of blocks for the jackknife, at least 2 (fewer if there are fewer
            words).

    Returns:
        EmpiricalLaw: Over K = 0, 1, …, n_cells.

    Raises:
        TypeError, ValueError: If ``words`` does not hold at least two words, or ``n_blocks`` is
            below 2.

    >>> law = spike_count_law([[0, 1, 1], [0, 0, 0], [1, 1, 0], [0, 0, 1]])
    >>> law.probabilities
    array([0.25, 0.25, 0.5 , 0.  ])
    """
    count = np.count_nonzero(_check_two_letters(words, "words") == 1, axis=1)
    n_values = np.shape(words)[1] + 1
    counts = [np.bincount(part, minlength=n_values) for part in blocks_of(count, n_blocks)]
    return _law_of(np.arange(n_values), np.array(counts))


def jensen_shannon(p: Any, q: Any) -> Estimate:
    """Return the Jensen–Shannon divergence of two discrete laws.

    ``JS = KL(p‖m)/2 + KL(q‖m)/2`` with ``m = (p + q)/2`` (Lin, J. (1991), IEEE Trans. Inf. Theory
    37, 145). Between two samples of the *same* law it is not 0 but about
    ``(n_values - 1)(1/n_p + 1/n_q)/8`` on average: it is not corrected for that.

    Args:
        p, q (EmpiricalLaw, or array_like of shape (n_values,)): Two sampled laws over the same
            values, or exact probabilities of sum 1.

    Returns:
        Estimate: Between 0 and ln 2, nats; the standard error counts the sampled arguments.

    Raises:
        TypeError, ValueError: If the laws are over different values, or probabilities are negative
            or do not sum to 1.

    >>> round(float(jensen_shannon([1.0, 0.0], [0.5, 0.5])), 6)
    0.215762
    """
    first, second = _check_law(p, "p"), _check_law(q, "q")
    if first.shape != second.shape:
        raise ValueError(f"p and q must be over the same values, got {first.size}, {second.size}")
    both_sampled = isinstance(p, EmpiricalLaw) and isinstance(q, EmpiricalLaw)
    if both_sampled and not np.allclose(p.values, q.values):
        raise ValueError("p and q must be laws over the same values")
    variance = 0.0
    for law, other in ((p, second), (q, first)):
        if isinstance(law, EmpiricalLaw):
            estimate = jackknife(law.block_counts, lambda c, other=other: _divergence(c, other))
            variance += estimate.stderr**2
    sampled = isinstance(p, EmpiricalLaw) or isinstance(q, EmpiricalLaw)
    value = max(float(_divergence(first, second)), 0.0)
    return Estimate(value, stderr=np.sqrt(variance), exact=not sampled)


def _divergence(counts: np.ndarray, other: np.ndarray) -> np.ndarray:
    p = counts / counts.sum(axis=-1, keepdims=True)
    middle = (p + other) / 2
    return (rel_entr(p, middle) + rel_entr(other, middle)).sum(axis=-1) / 2


def _check_law(law: Any, name: str) -> np.ndarray:
    if isinstance(law, EmpiricalLaw):
        return law.probabilities
    return check_probabilities(law, name)


def _check_two_letters(x: Any, name: str = "x") -> np.ndarray:
    """Spins ±1 as they are, words 0/1 as spins: int8 (n_samples, n_sites)."""
    array = check_finite_array(x, name, ndim=2, dtype=None)
    if np.all((array == 0) | (array == 1)):
        return 2 * array.astype(np.int8) - 1
    if np.all((array == -1) | (array == 1)):
        return array.astype(np.int8, copy=False)
    raise ValueError(f"{name} must hold spins -1 and +1, or words of 0 and 1")


def _law_of(values: np.ndarray, block_counts: np.ndarray) -> EmpiricalLaw:
    total = block_counts.sum(axis=0)
    left_out = total - block_counts
    stderr = spread(left_out / left_out.sum(axis=1, keepdims=True))
    return EmpiricalLaw(values.astype(float), total / total.sum(), stderr, block_counts)
