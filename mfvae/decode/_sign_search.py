"""Sign vectors near a subspace: descent from many starts, with deflation by what was found."""

from __future__ import annotations

import numpy as np

__all__ = ["DUPLICATE", "GAP", "descend", "distinct", "residuals_of", "search", "select", "signs"]

GAP = 0.8  # a pattern must lie clearly nearer to the span than the best vector left out
DUPLICATE = 0.8  # two sign vectors with a larger overlap count as one
_INDEPENDENT = 0.1  # least squared sine between a new pattern and the span of those before it


def signs(a: np.ndarray) -> np.ndarray:
    """Return the signs of an array as float32, +1 for zero."""
    return np.where(a >= 0, np.float32(1), np.float32(-1))


def residuals_of(x: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Return ``1 - |Πx|²/N`` of the columns of x, Π projecting on the orthonormal basis."""
    return 1 - np.sum((basis.T @ x) ** 2, axis=0, dtype=np.float64) / len(basis)


def descend(basis: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Iterate x ← sign(Πx), then flip single signs while that lowers the residual."""
    basis = basis.astype(np.float32)
    for _ in range(100):
        following = signs(basis @ (basis.T @ x))
        if np.array_equal(following, x):
            break
        x = following
    projector = basis @ basis.T
    image, own = projector @ x, np.diag(projector)[:, None]
    for _ in range(4 * len(x)):
        gain = own - x * image  # a quarter of what |Πx|² gains if the sign is flipped
        site = gain.argmax(axis=0)
        column = np.flatnonzero(gain[site, np.arange(x.shape[1])] > 1e-5)
        if not len(column):
            break
        site = site[column]
        image[:, column] -= 2 * projector[:, site] * x[site, column]
        x[site, column] *= -1
    return x


def distinct(x: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Return columns in the order of their residuals, near duplicates left out."""
    x = x[:, np.argsort(residuals_of(x, basis), kind="stable")]
    close = np.abs(x.T @ x) > DUPLICATE * len(x)
    free = np.ones(x.shape[1], dtype=bool)
    kept: list[int] = []
    for j in range(x.shape[1]):
        if free[j]:
            kept.append(j)
            free &= ~close[j]
        if len(kept) == 4 * basis.shape[1]:
            break
    return x[:, kept]


def select(pool: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Return indices of the first P columns that are linearly independent in the span."""
    inside = basis.T @ pool
    inside = inside / np.maximum(np.linalg.norm(inside, axis=0), 1e-12)
    chosen: list[int] = []
    frame = np.zeros((basis.shape[1], 0))
    for j in range(pool.shape[1]):
        rest = inside[:, j] - frame @ (frame.T @ inside[:, j])
        if rest @ rest > _INDEPENDENT:
            chosen.append(j)
            frame = np.column_stack([frame, rest / np.linalg.norm(rest)])
        if len(chosen) == basis.shape[1]:
            break
    return np.array(chosen, dtype=int)


def search(basis: np.ndarray, rng: np.random.Generator, n_starts: int, n_rounds: int) -> np.ndarray:
    """Return distinct sign vectors near the span, nearest first, from many starts.

    Later rounds start in what the best vectors so far leave of the span, where the patterns
    not yet found are fewer and their basins larger.
    """
    n_patterns = basis.shape[1]
    pool = np.zeros((len(basis), 0), dtype=np.float32)
    settled, before = 0, None
    for number in range(n_rounds):
        chosen = select(pool, basis)
        n_deflated = 0
        if number and n_patterns > 1:
            # Everything found but a random number of the worst, which may be wrong.
            n_deflated = min(len(chosen), n_patterns - 1)
            n_deflated -= int(rng.integers(0, n_deflated // 2 + 1))
        inside = basis.T @ pool[:, chosen[:n_deflated]]
        frame = np.linalg.qr(inside, mode="complete")[0] if n_deflated else np.eye(n_patterns)
        free = basis @ frame[:, n_deflated:]
        x = signs(free @ rng.standard_normal((free.shape[1], n_starts)))
        if n_deflated:
            x = descend(free, x)
        pool = distinct(np.concatenate([pool, descend(basis, x)], axis=1), basis)
        chosen = select(pool, basis)
        residuals = residuals_of(pool, basis)
        total = residuals[chosen].sum() + n_patterns - len(chosen)
        settled = settled + 1 if before is not None and total >= before - 1e-9 else 0
        before = total
        left_out = np.delete(residuals, chosen).min(initial=1.0)
        clear = len(chosen) == n_patterns and residuals[chosen].max() < GAP * left_out
        if settled >= (2 if clear else 8):
            break
    return pool
