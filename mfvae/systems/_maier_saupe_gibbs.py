"""Block Gibbs sampling of the Maier-Saupe model with replica exchange, in Numba.

A sweep draws the Hubbard-Stratonovich tensor given the directors,
``A ~ Normal(ΣQ/N, 1/(aN))`` in each of its five components, then all directors given A,
independent Bingham draws with matrix ``aA``. Only ΣQ/N links two sweeps.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from mfvae.systems._bingham_kernels import envelope, normal, one_draw, uniform

__all__ = ["random_frames", "run_ladder"]


@nb.njit(cache=True, nogil=True)
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


@nb.njit(cache=True, nogil=True)
def random_frame(state, frame):
    """Fill ``frame`` (3, 3) with a rotation drawn uniformly (Haar), from a unit quaternion."""
    w, x, y, z = normal(state), normal(state), normal(state), normal(state)
    scale = 2.0 / (w * w + x * x + y * y + z * z)
    frame[0, 0] = 1.0 - scale * (y * y + z * z)
    frame[1, 1] = 1.0 - scale * (x * x + z * z)
    frame[2, 2] = 1.0 - scale * (x * x + y * y)
    frame[0, 1], frame[1, 0] = scale * (x * y - w * z), scale * (x * y + w * z)
    frame[0, 2], frame[2, 0] = scale * (x * z + w * y), scale * (x * z - w * y)
    frame[1, 2], frame[2, 1] = scale * (y * z - w * x), scale * (y * z + w * x)


@nb.njit(cache=True, nogil=True)
def random_frames(states):
    """Return a uniform rotation for each generator state: float64 (n, 3, 3)."""
    frames = np.empty((len(states), 3, 3))
    for i in range(len(states)):
        random_frame(states[i], frames[i])
    return frames


@nb.njit(cache=True, nogil=True)
def _sweep(q, coupling, n_sites, state, work, frame, turned, values, scale, record, out):
    """Draw A given ``q`` = ΣQ/N, then all directors; update ``q``, and fill ``out`` if asked."""
    width = 1.0 / math.sqrt(coupling * n_sites)
    half = math.sqrt(0.5) * width
    for i in range(3):
        for j in range(3):
            work[i, j] = q[i, j]
    g0, g1 = normal(state) * width / math.sqrt(6.0), normal(state) * half
    work[0, 0] += g1 - g0
    work[1, 1] -= g1 + g0
    work[2, 2] += 2.0 * g0
    for i in range(2):
        for j in range(i + 1, 3):
            work[i, j] += normal(state) * half
            work[j, i] = work[i, j]
    eigen_symmetric(work, frame)
    for k in range(3):
        values[k] = coupling * work[k, k]
    b = envelope(values, scale)
    if record:
        # The energy does not change under a common rotation: one drawn uniformly is a
        # move of its own, which frees the records from the slow wandering of the director.
        random_frame(state, work)
        for i in range(3):
            for j in range(3):
                turned[i, j] = 0.0
                for k in range(3):
                    turned[i, j] += work[i, k] * frame[k, j]
        for i in range(3):
            for j in range(3):
                frame[i, j] = turned[i, j]
    s00 = s11 = s22 = s01 = s02 = s12 = 0.0
    for site in range(n_sites):
        y0, y1, y2, _ = one_draw(scale[0], scale[1], scale[2], b, state)
        s00 += y0 * y0
        s11 += y1 * y1
        s22 += y2 * y2
        s01 += y0 * y1
        s02 += y0 * y2
        s12 += y1 * y2
        if record:
            for k in range(3):
                out[site, k] = frame[k, 0] * y0 + frame[k, 1] * y1 + frame[k, 2] * y2
    work[0, 0], work[1, 1], work[2, 2] = s00, s11, s22
    work[0, 1], work[0, 2], work[1, 2] = s01, s02, s12
    work[1, 0], work[2, 0], work[2, 1] = s01, s02, s12
    for i in range(3):
        for j in range(3):
            total = 0.0
            for k in range(3):
                for m in range(3):
                    total += frame[i, k] * work[k, m] * frame[j, m]
            q[i, j] = total / n_sites - (1.0 / 3.0 if i == j else 0.0)


@nb.njit(cache=True, nogil=True)
def run_ladder(temperatures, place, n_sites, burn_in, thinning, ordered, state, out, accepted):
    """Run one ladder of replicas and fill ``out`` (n_wanted, n_records, n_sites, 3).

    Parameters
    ----------
    temperatures, place : ndarray
        float64 ``(n,)``, sorted; int64 ``(n,)``, row of ``out`` that records this temperature, or
        -1.
    n_sites, burn_in, thinning : int
        Directors; sweeps before the first record; sweeps from record to record.
    ordered : bool
        Start from parallel directors, otherwise from ΣQ = 0.
    state, out, accepted : ndarray
        uint64 ``(4,)``; float32; float64 ``(n - 1,)``, exchanges accepted, as a fraction.
    """
    n = len(temperatures)
    q = np.zeros((n, 3, 3))
    if ordered:
        for k in range(n):
            q[k, 0, 0] = q[k, 1, 1] = -1.0 / 3.0
            q[k, 2, 2] = 2.0 / 3.0
    work, frame, turned = np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 3))
    values, scale, square = np.empty(3), np.empty(3), np.empty(n)
    accepted[:] = 0.0
    n_sweeps = burn_in + 1 + (out.shape[1] - 1) * thinning
    for sweep in range(n_sweeps):
        after = sweep - burn_in
        recording = after >= 0 and after % thinning == 0
        for k in range(n):
            record = recording and place[k] >= 0
            target = out[max(place[k], 0), after // thinning if recording else 0]
            coupling = 1.5 / temperatures[k]
            _sweep(
                q[k], coupling, n_sites, state, work, frame, turned, values, scale, record, target
            )
            square[k] = 0.0
            for i in range(3):
                for j in range(3):
                    square[k] += q[k, i, j] ** 2
        for k in range(n - 1):
            inverse = 1.0 / temperatures[k] - 1.0 / temperatures[k + 1]
            exponent = 0.75 * n_sites * inverse * (square[k + 1] - square[k])
            if uniform(state) < math.exp(min(0.0, exponent)):
                accepted[k] += 1.0 / n_sweeps
                square[k], square[k + 1] = square[k + 1], square[k]
                for i in range(3):
                    for j in range(3):
                        q[k, i, j], q[k + 1, i, j] = q[k + 1, i, j], q[k, i, j]
