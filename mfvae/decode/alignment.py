"""Recovered patterns against a reference: order, signs, and how many bits are right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import norm

from mfvae._validation import check_number, check_spins

__all__ = ["Alignment", "align_patterns"]


@dataclass(frozen=True)
class Alignment:
    """Recovered patterns in the order and with the signs of a reference.

    Attributes:
        patterns (ndarray, int8 (n_sites, n_patterns)): Column μ belongs to column μ of the
            reference; 0 where nothing was recovered for it.
        overlaps (ndarray, float64 (n_patterns, n_patterns)): ``patterns.T @ reference / n_sites``:
            row recovered, column reference.
        bit_accuracies (ndarray, float64 (n_patterns,)): Fraction of right bits in each pattern, at
            least 0.5 by the choice of sign.
        bit_accuracy (float): Their mean; a pattern that is missing counts 0.5, a guess.
        interval ((float, float)): Wilson's score interval for it, which takes bits as independent.
    """

    patterns: np.ndarray
    overlaps: np.ndarray
    bit_accuracies: np.ndarray
    bit_accuracy: float
    interval: tuple[float, float]


def align_patterns(
    recovered: np.ndarray, reference: np.ndarray, *, confidence: float = 0.95
) -> Alignment:
    """Match recovered patterns to reference patterns by the Hungarian algorithm, and fix signs.

    The assignment has the largest sum of absolute overlaps (Kuhn 1955). The interval is that of
    Wilson (1927), J. Am. Stat. Assoc. 22, 209.

    Args:
        recovered (array_like, shape (n_sites, n_recovered), or PatternRecovery): Spins -1 and +1 in
            any order and with any signs; more or fewer than the reference. Those matched to nothing
            are left out.
        reference (array_like, shape (n_sites, n_patterns)): Spins -1 and +1.
        confidence (float): Level of the interval, between 0 and 1.

    Returns:
        Alignment

    Raises:
        TypeError, ValueError: For arrays that do not hold spins or differ in the number of sites.

    >>> reference = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    >>> aligned = align_patterns(-reference[:, ::-1], reference)
    >>> aligned.bit_accuracy, bool((aligned.patterns == reference).all())
    (1.0, True)
    """
    recovered = getattr(recovered, "patterns", recovered)
    reference = check_spins(reference, name="reference")
    n_sites, n_patterns = reference.shape
    if np.ndim(recovered) == 2 and np.shape(recovered) == (n_sites, 0):
        recovered = np.zeros((n_sites, 0), dtype=np.int8)
    else:
        recovered = check_spins(recovered, name="recovered")
    if len(recovered) != n_sites:
        raise ValueError(f"recovered has {len(recovered)} sites, reference {n_sites}")
    confidence = check_number(confidence, "confidence", minimum=0.0, maximum=1.0 - 1e-12)
    overlaps = recovered.T.astype(float) @ reference
    rows, columns = linear_sum_assignment(-np.abs(overlaps))
    signs = np.where(overlaps[rows, columns] < 0, -1, 1)
    patterns = np.zeros_like(reference)
    patterns[:, columns] = recovered[:, rows] * signs
    overlaps = patterns.T.astype(float) @ reference / n_sites
    accuracies = (1 + np.diag(overlaps)) / 2
    accuracy = float(accuracies.mean())
    n_bits, z = n_sites * n_patterns, norm.ppf((1 + confidence) / 2)
    center = (accuracy + z**2 / (2 * n_bits)) / (1 + z**2 / n_bits)
    half = z * np.sqrt(accuracy * (1 - accuracy) / n_bits + (z / (2 * n_bits)) ** 2)
    half /= 1 + z**2 / n_bits
    interval = max(0.0, float(center - half)), min(1.0, float(center + half))
    return Alignment(patterns, overlaps, accuracies, accuracy, interval)
