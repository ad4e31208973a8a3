"""Eigenvalues and eigenvectors of many symmetric 3 x 3 matrices, compiled."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

__all__ = ["eigen_decomposition", "eigen_symmetric"]


@njit(cache=True, nogil=True)
def eigen_symmetric(matrix, frame):
    """Diagonalise ``matrix`` (3, 3) in place by cyclic Jacobi; eigenvectors in columns of
    ``frame``."""
    for i in range(3):
        for j in range(3):
            frame[i, j] = 1.0 if i == j else 0.0
    for _ in range(30):
        off = matrix[0, 1] ** 2 + matrix[0, 2] ** 2 + matrix[1, 2] ** 2
        size = matrix[0, 0] ** 2 + matrix[1, 1] ** 2 + matrix[2, 2] ** 2
        if off <= 1e-30 * size + 1e-300:
            break
        for p in range(2):
            for q in range(p + 1, 3):
                if matrix[p, q] == 0.0:
                    continue
                theta = 0.5 * (matrix[q, q] - matrix[p, p]) / matrix[p, q]
                t = 1.0 / (abs(theta) + math.sqrt(theta * theta + 1.0))
                if theta < 0.0:
                    t = -t
                c = 1.0 / math.sqrt(t * t + 1.0)
                s = t * c
                for k in range(3):
                    u, v = matrix[k, p], matrix[k, q]
                    matrix[k, p], matrix[k, q] = c * u - s * v, s * u + c * v
                for k in range(3):
                    u, v = matrix[p, k], matrix[q, k]
                    matrix[p, k], matrix[q, k] = c * u - s * v, s * u + c * v
                for k in range(3):
                    u, v = frame[k, p], frame[k, q]
                    frame[k, p], frame[k, q] = c * u - s * v, s * u + c * v


@njit(cache=True, nogil=True)
def _decompose(matrices, values, frames):
    work, frame = np.empty((3, 3)), np.empty((3, 3))
    for row in range(len(matrices)):
        work[:] = matrices[row]
        eigen_symmetric(work, frame)
        for k in range(3):
            rank = 0
            for other in range(3):
                below = work[other, other] < work[k, k]
                if below or (work[other, other] == work[k, k] and other < k):
                    rank += 1
            values[row, rank] = work[k, k]
            for i in range(3):
                frames[row, i, rank] = frame[i, k]


def eigen_decomposition(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ascending eigenvalues, and eigenvectors in columns, by Jacobi rotations.

    Args:
        matrices (ndarray): Symmetric, float64 ``(..., 3, 3)``.

    Returns:
        (ndarray, ndarray): float64 ``(..., 3)`` and ``(..., 3, 3)``.

    >>> values, frames = eigen_decomposition(np.array([[2.0, 1, 0], [1, 2, 0], [0, 0, 2]]))
    >>> values.round(12).tolist()
    [1.0, 2.0, 3.0]
    """
    flat = np.ascontiguousarray(matrices, dtype=np.float64).reshape(-1, 3, 3)
    values, frames = np.empty((len(flat), 3)), np.empty((len(flat), 3, 3))
    _decompose(flat, values, frames)
    return values.reshape(matrices.shape[:-1]), frames.reshape(matrices.shape)
