"""Laws of discrete quantities, counted from samples, and how far two of them are apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import rel_entr

from mfvae._validation import check_count, check_finite_array, check_seed, check_two_letters
from mfvae.measure._jackknife import blocks_of, jackknife, spread
from mfvae.systems.base import Estimate

__all__ = ["EmpiricalLaw", "all_configurations", "jensen_shannon", "overlap_law", "spike_count_law"]

_N_BLOCKS, _N_PARTNERS = 64, 8


def all_configurations(n_sites: int) -> np.ndarray:
    """Return all configurations of ``n_sites`` <= 20 spins: int8 (2**n_sites, n_sites).

    >>> all_configurations(2).tolist()
    [[-1, -1], [1, -1], [-1, 1], [1, 1]]
    """
    n_sites = check_count(n_sites, "n_sites", maximum=20)
    bits = np.arange(2**n_sites)[:, None] >> np.arange(n_sites) & 1
    return (2 * bits - 1).astype(np.int8)


@dataclass(frozen=True)
class EmpiricalLaw:
    """Relative frequencies of a discrete quantity.

    Attributes:
        values: The values that it can take, ascending, float64 (n_values,).
        block_counts: How often each was seen in each block of rows, int64 (n_blocks, n_values).
    """

    values: np.ndarray
    block_counts: np.ndarray = field(repr=False)

    @property
    def probabilities(self) -> np.ndarray:
        """Relative frequencies, float64 (n_values,)."""
        total = self.block_counts.sum(axis=0)
        return total / total.sum()

    @property
    def stderr(self) -> np.ndarray:
        """Their jackknife standard errors, float64 (n_values,)."""
        left_out = self.block_counts.sum(axis=0) - self.block_counts
        return spread(left_out / left_out.sum(axis=1, keepdims=True))


def overlap_law(x: np.ndarray, *, seed: int | np.random.SeedSequence = 0) -> EmpiricalLaw:
    """Return the law P(q) of the overlap q = Σ_i s_i s'_i / n of two independent configurations.

    The blocks of rows are matched at random in pairs, never with the next block, and every row
    of a block is compared with eight rows of the partner block: no row meets its own neighbours in
    time, and the matched pairs of blocks are independent units for the jackknife.

    Args:
        x: Spins -1 and +1, or words of 0 and 1 (taken as spins), (n_samples >= 4, n_sites).
        seed: Source of the random matching.

    Returns:
        ``values`` q = -1, -1 + 2/n, …, 1, ``probabilities`` and ``stderr``, (n_sites + 1,) each.
    """
    spins = 2 * check_two_letters(x).astype(np.float32) - 1  # sums of up to 2²⁴ signs are exact
    n_samples, n_sites = spins.shape
    if n_samples < 4:
        raise ValueError(f"x must have at least 4 rows, got shape {spins.shape}")
    n_pairs = min(_N_BLOCKS, n_samples) // 2
    rng = np.random.default_rng(check_seed(seed))
    size = n_samples // (2 * n_pairs)  # rows beyond 2 * n_pairs * size are left out
    matching = rng.permutation(2 * n_pairs).reshape(2, n_pairs)
    while np.any(np.abs(matching[0] - matching[1]) == 1):
        matching = rng.permutation(2 * n_pairs).reshape(2, n_pairs)
    left, right = matching[..., None] * size + np.arange(size)
    right = rng.permuted(right, axis=1)
    counts = np.zeros((n_pairs, n_sites + 1), dtype=np.int64)
    for pair in range(n_pairs):
        for shift in range(min(_N_PARTNERS, size)):
            other = np.roll(right[pair], shift)
            q = np.einsum("ij,ij->i", spins[left[pair]], spins[other])
            agreements = ((q + n_sites) / 2).astype(np.int64)
            counts[pair] += np.bincount(agreements, minlength=n_sites + 1)
    return EmpiricalLaw(2 * np.arange(n_sites + 1) / n_sites - 1, counts)


def spike_count_law(words: np.ndarray) -> EmpiricalLaw:
    """Return the law P(K) of the number K of ones (or up-spins) in a word.

    Args:
        words: Words of 0 and 1, or spins -1 and +1, (n_words >= 2, n_cells).

    Returns:
        ``values`` K = 0, 1, …, n_cells, ``probabilities`` and ``stderr``, (n_cells + 1,) each.

    >>> law = spike_count_law([[0, 1, 1], [0, 0, 0], [1, 1, 0], [0, 0, 1]])
    >>> law.probabilities
    array([0.25, 0.25, 0.5 , 0.  ])
    """
    up = check_two_letters(words, "words")
    n_values = up.shape[1] + 1
    blocks = blocks_of(np.count_nonzero(up, axis=1), _N_BLOCKS)
    counts = np.array([np.bincount(block, minlength=n_values) for block in blocks])
    return EmpiricalLaw(np.arange(n_values, dtype=float), counts)


def jensen_shannon(p: Any, q: Any) -> Estimate:
    """Return the Jensen–Shannon divergence of two discrete laws, between 0 and ln 2, nats.

    ``JS = KL(p‖m)/2 + KL(q‖m)/2`` with ``m = (p + q)/2`` (Lin, J. (1991), IEEE Trans. Inf. Theory
    37, 145). Between two samples of the *same* law it is not 0 but about
    ``(n_values - 1)(1/n_p + 1/n_q)/8`` on average: it is not corrected for that. The standard
    error counts the sampled arguments.

    Args:
        p: A law from `overlap_law` or `spike_count_law`, or exact probabilities (n_values,).
        q: Likewise, over the same values.

    >>> round(float(jensen_shannon([1.0, 0.0], [0.5, 0.5])), 6)
    0.215762
    """
    sampled, laws = [isinstance(law, EmpiricalLaw) for law in (p, q)], []
    for law, counted, name in zip((p, q), sampled, "pq", strict=True):
        laws.append(law.probabilities if counted else check_finite_array(law, name, ndim=1))
        if np.any(laws[-1] < 0) or abs(laws[-1].sum() - 1) > 1e-8:
            raise ValueError(f"{name} must be >= 0 and of sum 1, got sum {laws[-1].sum()}")
    first, second = laws
    if first.shape != second.shape or (all(sampled) and not np.allclose(p.values, q.values)):
        raise ValueError(f"p and q must be over the same values, got {first.size}, {second.size}")

    def divergence(counts: np.ndarray, other: np.ndarray) -> np.ndarray:
        law = counts / counts.sum(axis=-1, keepdims=True)
        middle = (law + other) / 2
        return (rel_entr(law, middle) + rel_entr(other, middle)).sum(axis=-1) / 2

    errors = [
        jackknife(law.block_counts, lambda counts, other=other: divergence(counts, other)).stderr
        for law, counted, other in zip((p, q), sampled, (second, first), strict=True)
        if counted
    ]
    value = max(float(divergence(first, second)), 0.0)
    return Estimate(value, stderr=np.sqrt(sum(e**2 for e in errors)), exact=not any(sampled))
