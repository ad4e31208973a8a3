"""Observables of configurations, laws of discrete ones, and their errors by the jackknife.

It leaves out blocks of consecutive rows: errors stay honest for nonlinear quantities, and for rows
in the order of a Markov chain as long as a block is much longer than the correlation time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from scipy.special import rel_entr

from mfvae._validation import (
    check_count,
    check_finite_array,
    check_seed,
    check_spins,
    check_temperature,
    check_two_letters,
)
from mfvae.systems.base import Estimate, Seed

__all__ = ["all_configurations", "jensen_shannon", "overlap_law", "spike_count_law"]

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
    """Relative frequencies of a discrete quantity; int64 (n_blocks, n_values) counts by blocks."""

    values: np.ndarray  #: The values that it can take, ascending, float64 (n_values,).
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


def overlap_law(x: np.ndarray, *, seed: Seed = 0) -> EmpiricalLaw:
    """Return the law P(q) of the overlap q = Σ_i s_i s'_i / n of two independent configurations.

    Blocks of rows are matched at random in pairs, never with the next block, and every row is
    compared with eight rows of the partner block: no row meets its own neighbours in time, and the
    pairs of blocks are independent units for the jackknife. ``x`` are spins -1 and +1, or words of
    0 and 1 (taken as spins), (n_samples >= 4, n_sites); ``seed`` is the source of the matching.
    """
    spins = 2 * check_two_letters(x).astype(np.float32) - 1  # sums of up to 2²⁴ signs are exact
    n_samples, n_sites = spins.shape
    if n_samples < 4:
        raise ValueError(f"x must have at least 4 rows, got shape {spins.shape}")
    n_pairs = min(_N_BLOCKS, n_samples) // 2
    rng = np.random.default_rng(check_seed(seed))
    size = n_samples // (2 * n_pairs)  # rows beyond 2 * n_pairs * size are left out
    matching = np.array([[0], [1]])
    while np.any(np.abs(matching[0] - matching[1]) == 1):
        matching = rng.permutation(2 * n_pairs).reshape(2, n_pairs)
    left, right = matching[..., None] * size + np.arange(size)
    right = rng.permuted(right, axis=1)
    counts = np.zeros((n_pairs, n_sites + 1), dtype=np.int64)
    for mine, others, count in zip(left, right, counts, strict=True):
        for shift in range(min(_N_PARTNERS, size)):
            q = np.einsum("ij,ij->i", spins[mine], spins[np.roll(others, shift)])
            count += np.bincount(((q + n_sites) / 2).astype(np.int64), minlength=n_sites + 1)
    return EmpiricalLaw(2 * np.arange(n_sites + 1) / n_sites - 1, counts)


def spike_count_law(words: np.ndarray) -> EmpiricalLaw:
    """Return the law P(K) of the number K of ones (or up-spins) in words (n_words >= 2, n_cells).

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
    37, 145). Between samples of *one* law it is about ``(n_values - 1)(1/n_p + 1/n_q)/8`` on
    average, for which it is not corrected. Each is a law from `overlap_law` or `spike_count_law`,
    which the standard error counts, or exact probabilities (n_values,), over the same values.

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


class OrderParameterMoments(NamedTuple):
    """What one temperature says of an order parameter; fields as in `order_parameter_moments`."""

    mean: Estimate
    susceptibility: Estimate
    binder_cumulant: Estimate


def order_parameter_moments(
    values: np.ndarray, n_sites: int, temperature: float
) -> OrderParameterMoments:
    """Return ``mean``, ``susceptibility`` and ``binder_cumulant`` of an order parameter S.

    They are ⟨|S|⟩, χ = N (⟨S²⟩ - ⟨|S|⟩²)/T, units of 1/J, and U = 1 - ⟨S⁴⟩/(3⟨S²⟩²): 0 for
    Gaussian S, 2/3 for S = ±constant (Binder, K. (1981), Z. Phys. B 43, 119), NaN if S is always 0.

    Args:
        values: S of each configuration, (n_samples >= 2,), per site, all at one temperature: what
            ``system.order_parameter(x)`` returns, for spins the mean spin.
        n_sites: Number N of sites.
        temperature: Units of J/k_B.

    >>> moments = order_parameter_moments([0.2, -0.4], 10, 0.5)
    >>> round(float(moments.mean), 3), round(float(moments.susceptibility), 3)
    (0.3, 0.2)
    """
    s = np.abs(check_finite_array(values, "values", ndim=1))
    scale = check_count(n_sites, "n_sites") / check_temperature(temperature)
    # The variance does not depend on where S is measured from; near its mean it rounds less.
    centred = s - s.mean()
    table = (
        (lambda m: m[..., 0], [s]),
        (lambda m: scale * (m[..., 1] - m[..., 0] ** 2), [centred, centred**2]),
        (lambda m: 1 - m[..., 1] / (3 * m[..., 0] ** 2), [s**2, s**4]),
    )
    with np.errstate(invalid="ignore"):  # S is always 0
        moments = (jackknife_of_means(np.stack(x, axis=1), f, _N_BLOCKS) for f, x in table)
        return OrderParameterMoments(*moments)


def correlation_length(x: np.ndarray, length: int) -> Estimate:
    """Return the second-moment correlation length on an L × L torus, units of its spacing.

    ``ξ = √(S(0)/S(k₁) - 1) / (2 sin(k₁/2))`` with k₁ = 2π/L along either axis and
    ``S(k) = ⟨|Σ_r s_r exp(ik·r)|²⟩/N`` (Cooper, F., Freedman, B. & Preston, D. (1982), Nucl. Phys.
    B 210, 210); 0 where S(0) ≤ S(k₁), infinite where S(k₁) = 0. ``x`` are spins -1 and +1,
    (n_samples >= 2, length * length), sites numbered row by row; ``length`` is L, at least 2.
    """
    length = check_count(length, "length", minimum=2)
    lattice = check_spins(x, length * length).reshape(-1, length, length)
    k = 2 * np.pi / length
    wave = np.exp(1j * k * np.arange(length))
    along = [np.abs(lattice.sum(axis=axis, dtype=np.float64) @ wave) ** 2 for axis in (1, 2)]
    zero = lattice.sum(axis=(1, 2), dtype=np.float64) ** 2
    first = (along[0] + along[1]) / 2
    first[first < 1e-24 * length**4] = 0.0  # rounding of a sum that vanishes

    def length_of(mean: np.ndarray) -> np.ndarray:
        ratio = np.where(mean[..., 0] > 0, np.inf, 1.0)
        np.divide(mean[..., 0], mean[..., 1], out=ratio, where=mean[..., 1] > 0)
        return np.sqrt(np.maximum(ratio - 1, 0)) / (2 * np.sin(k / 2))

    return jackknife_of_means(np.stack([zero, first], axis=1), length_of, _N_BLOCKS)


def blocks_of(rows: np.ndarray, n_blocks: int) -> list[np.ndarray]:
    """Cut two or more rows into ``n_blocks`` pieces of consecutive ones, or fewer of one row."""
    if len(rows) < 2:
        raise ValueError(f"x must have at least 2 rows for an error bar, got {len(rows)}")
    return np.array_split(rows, min(n_blocks, len(rows)))


def jackknife_of_means(
    features: np.ndarray, function: Callable[[np.ndarray], np.ndarray], n_blocks: int
) -> Estimate:
    """``function`` of the mean features, (n_samples, k) → (k,), with its standard error."""
    parts = blocks_of(features, n_blocks)
    sums = np.array([np.append(part.sum(axis=0), len(part)) for part in parts])
    return jackknife(sums, lambda s: function(s[..., :-1] / s[..., -1:]))


def jackknife(sums: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> Estimate:
    """``function`` of the total of the rows of ``sums``, error by leaving out a row at a time."""
    total = sums.sum(axis=0)
    return Estimate(function(total), stderr=spread(function(total - sums)), exact=False)


def spread(left_out: np.ndarray) -> np.ndarray:
    """Error from the values with one block left out, axis 0; infinite if one of them is."""
    n = len(left_out)
    known = np.isfinite(left_out).all(axis=0)
    left_out = np.where(known, left_out, 0.0)
    squares = np.sum((left_out - left_out.mean(axis=0)) ** 2, axis=0)
    return np.where(known, np.sqrt((n - 1) / n * squares), np.inf)


def weighted_sum(weights: Sequence[float], estimates: Sequence[Estimate]) -> Estimate:
    """``Σ w_k e_k`` of independent estimates."""
    total = sum(w * float(e) for w, e in zip(weights, estimates, strict=True))
    error = np.sqrt(sum((w * e.stderr) ** 2 for w, e in zip(weights, estimates, strict=True)))
    return Estimate(total, stderr=float(error), exact=all(e.exact for e in estimates))
