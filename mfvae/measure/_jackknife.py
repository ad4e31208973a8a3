"""Error bars by the jackknife over blocks of consecutive rows.

They stay honest for nonlinear quantities, and for rows in the order of a Markov chain as long as a
block is much longer than the correlation time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mfvae.systems.base import Estimate

__all__ = ["blocks_of", "jackknife", "jackknife_of_means", "spread", "weighted_sum"]


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
