"""Compiled rejection sampling of the Bingham law, one generator state per row.

The generator is xoshiro256++ (Blackman & Vigna, ACM TOMS 47:36, 2021), its four words
taken from a ``SeedSequence``: nothing global, so that the bits depend on the seed alone.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

__all__ = ["envelope", "generator_states", "normal", "one_draw", "sample_bingham", "uniform"]


def generator_states(seed: np.random.SeedSequence, n_states: int) -> np.ndarray:
    """Return ``n_states`` independent generator states, uint64 ``(n_states, 4)``."""
    return seed.generate_state(4 * n_states, np.uint64).reshape(n_states, 4)


@nb.njit(cache=True, nogil=True, inline="always")
def _rotate(x, k):
    return (x << np.uint64(k)) | (x >> np.uint64(64 - k))


@nb.njit(cache=True, nogil=True)
def uniform(state):
    """Return a float64 uniform on [0, 1) and advance ``state`` (xoshiro256++)."""
    s0, s1, s2, s3 = state[0], state[1], state[2], state[3]
    result = _rotate(s0 + s3, 23) + s0
    t = s1 << np.uint64(17)
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= t
    s3 = _rotate(s3, 45)
    state[0], state[1], state[2], state[3] = s0, s1, s2, s3
    return np.float64(result >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@nb.njit(cache=True, nogil=True)
def normal(state):
    """Return a standard normal number (Box-Muller, cosine branch)."""
    radius = math.sqrt(-2.0 * math.log(1.0 - uniform(state)))
    return radius * math.cos(2.0 * math.pi * uniform(state))


@nb.njit(cache=True, nogil=True)
def envelope(eigenvalues, scale):
    """Fill ``scale`` with the envelope's axes and return its parameter b.

    With ``beta_k = max(eigenvalues) - eigenvalues[k]``, b solves ``sum 1/(b + 2 beta_k) = 1``
    and the envelope has precision ``1 + 2 beta_k / b`` along axis k (Kent, Ganeiber & Mardia
    2013, eqs 3.3-3.6). Newton from b = 1 climbs monotonically: the sum is convex.
    """
    top = max(eigenvalues[0], max(eigenvalues[1], eigenvalues[2]))
    b = 1.0
    for _ in range(100):
        excess = -1.0
        slope = 0.0
        for k in range(3):
            inverse = 1.0 / (b + 2.0 * (top - eigenvalues[k]))
            excess += inverse
            slope += inverse * inverse
        step = excess / slope
        b += step
        if step < 1e-14 * b:
            break
    for k in range(3):
        scale[k] = 1.0 / math.sqrt(1.0 + 2.0 * (top - eigenvalues[k]) / b)
    return b


@nb.njit(cache=True, nogil=True)
def one_draw(scale0, scale1, scale2, b, state):
    """Return one Bingham draw in the eigenbasis, and how many proposals it took.

    A uniform direction z (Marsaglia 1972), stretched by the envelope's axes, is an angular
    central Gaussian proposal y; with ``v = b / (3 |y|²)`` it is accepted with probability
    ``(v e^{1-v})^{3/2}``.
    """
    proposals = 0
    while True:
        proposals += 1
        while True:
            u = 2.0 * uniform(state) - 1.0
            v = 2.0 * uniform(state) - 1.0
            r = u * u + v * v
            if r < 1.0:
                break
        root = 2.0 * math.sqrt(1.0 - r)
        y0 = scale0 * u * root
        y1 = scale1 * v * root
        y2 = scale2 * (1.0 - 2.0 * r)
        square = y0 * y0 + y1 * y1 + y2 * y2
        v = b / (3.0 * square)
        w = uniform(state)
        if w * w < v * v * v * math.exp(3.0 * (1.0 - v)):
            inverse = 1.0 / math.sqrt(square)
            return y0 * inverse, y1 * inverse, y2 * inverse, proposals


@nb.njit(cache=True, nogil=True)
def sample_bingham(eigenvalues, frames, states, out):
    """Fill row i of ``out`` with draws of the law with eigenvalues and frame of row i.

    Parameters
    ----------
    eigenvalues, frames, states : ndarray
        float64 ``(rows, 3)``; float64 ``(rows, 3, 3)``, eigenvectors in columns; uint64
        ``(rows, 4)``, advanced in place.
    out : ndarray
        float32 or float64 ``(rows, n, 3)``.

    Returns
    -------
    int
        Number of proposals made.
    """
    scale = np.empty(3)
    proposals = 0
    for row in range(out.shape[0]):
        b = envelope(eigenvalues[row], scale)
        f = frames[row]
        state = states[row]
        for i in range(out.shape[1]):
            y0, y1, y2, tries = one_draw(scale[0], scale[1], scale[2], b, state)
            proposals += tries
            for k in range(3):
                out[row, i, k] = f[k, 0] * y0 + f[k, 1] * y1 + f[k, 2] * y2
    return proposals
