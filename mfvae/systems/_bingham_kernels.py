"""Compiled rejection sampling of the Bingham law, sixteen proposals at a time.

Generators are xoshiro128++ (one a lane) and, for what is drawn one by one, xoshiro256++
(Blackman & Vigna, ACM TOMS 47:36, 2021), their states taken from a ``SeedSequence``: nothing
global, so that the bits depend on the seed alone.
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from mfvae.systems._lane_random import (
    exp,
    load_state,
    quarter_circle,
    random_words,
    store_state,
    uniforms,
)
from mfvae.systems._lanes import (
    LANES,
    bits_of,
    fill,
    fill_words,
    from_bits,
    select,
    square_root,
)

__all__ = [
    "SCRATCH",
    "envelope",
    "fill_row",
    "lane_states",
    "normal",
    "sample_bingham",
    "scalar_states",
    "uniform",
]

SCRATCH = 64  # floats of scratch space that `fill_row` needs


def lane_states(seed: np.random.SeedSequence, n_states: int) -> np.ndarray:
    """Return states of sixteen-lane generators, uint32 ``(n_states, 64)``."""
    return seed.generate_state(4 * LANES * n_states).reshape(n_states, 4 * LANES)


def scalar_states(seed: np.random.SeedSequence, n_states: int) -> np.ndarray:
    """Return states of scalar generators, uint64 ``(n_states, 4)``."""
    return seed.generate_state(4 * n_states, np.uint64).reshape(n_states, 4)


@njit(cache=True, nogil=True, inline="always")
def _rotate(x, k):
    return (x << np.uint64(k)) | (x >> np.uint64(64 - k))


@njit(cache=True, nogil=True)
def uniform(state):
    """Return a float64 uniform on [0, 1) and advance the scalar ``state`` (xoshiro256++)."""
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


@njit(cache=True, nogil=True)
def normal(state):
    """Return a standard normal number (Box-Muller, cosine branch); scalar ``state``."""
    radius = math.sqrt(-2.0 * math.log(1.0 - uniform(state)))
    return radius * math.cos(2.0 * math.pi * uniform(state))


@intrinsic
def _append(typingctx, out, place, x, y, z, keep):
    """Write the triples (x, y, z) of the lanes kept, one after another, and return the next place.

    ``out`` is flat; every lane is written, at the place where the next one kept will
    overwrite it, so that up to 49 floats from ``3 place`` on are touched.
    """

    def codegen(context, builder, signature, args):
        word, size = ir.IntType(32), ir.IntType(types.intp.bitwidth)
        quadruple = ir.VectorType(ir.FloatType(), 4)
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        position = context.cast(builder, args[1], signature.args[1], types.intp)

        def shuffle(first, second, order):
            mask = ir.Constant(ir.VectorType(word, len(order)), order)
            return builder.shuffle_vector(first, second, mask)

        halves = [[j for i in range(8 * h, 8 * h + 8) for j in (i, i + LANES)] for h in range(2)]
        xy = [shuffle(args[2], args[3], half) for half in halves]
        zz = [shuffle(args[4], args[4], half) for half in halves]
        # One move to a general register: taking lanes of a mask one by one is slow.
        bits = builder.zext(builder.bitcast(args[5], ir.IntType(LANES)), size)
        for lane in range(LANES):
            h, i = divmod(lane, 8)
            triple = shuffle(xy[h], zz[h], [2 * i, 2 * i + 1, LANES + 2 * i, LANES + 2 * i])
            pointer = builder.gep(data, [builder.mul(position, ir.Constant(size, 3))])
            builder.store(triple, builder.bitcast(pointer, quadruple.as_pointer()), align=4)
            kept = builder.lshr(bits, ir.Constant(size, lane))
            position = builder.add(position, builder.and_(kept, ir.Constant(size, 1)))
        return position

    return types.intp(out, place, x, y, z, keep), codegen


@njit(cache=True, nogil=True)
def envelope(eigenvalues, scale):
    """Fill ``scale`` with the envelope's axes and return its parameter b.

    With ``beta_k = max(eigenvalues) - eigenvalues[k]``, b solves ``sum 1/(b + 2 beta_k) = 1``
    and the envelope has precision ``1 + 2 beta_k / b`` along axis k (Kent, Ganeiber & Mardia
    2013). Newton from b = 1 climbs monotonically: the sum is convex.
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


@njit(inline="always")
def _direction(first, second):
    """Return a uniform point of the sphere a lane from two random words.

    Height and azimuth are uniform. The azimuth is drawn in one quarter of the circle; spare
    bits choose the quarter and the hemisphere, which keeps both poles finely resolved.
    """
    u = uniforms(first)
    z = from_bits(bits_of(fill(1.0) - u) ^ (first << fill_words(31)))
    sign = (second << fill_words(1)) & fill_words(0x80000000)
    radius = from_bits(bits_of(square_root(u * (fill(2.0) - u))) ^ sign)
    x, y = quarter_circle(second)
    return radius * x, radius * y, z


@njit(cache=True, nogil=True)
def fill_row(eigenvalues, frame, state, out, start, n, scratch):
    """Write ``n`` draws of one law to ``out`` from triple ``start`` on; return the proposals made.

    A uniform direction, stretched by the envelope's axes to y, is an angular central Gaussian
    proposal; with ``v = b / (3 |y|²)`` it is accepted with probability ``(v e^{1-v})^{3/2}``.

    Args:
        eigenvalues, frame (ndarray): float64 ``(3,)`` and ``(3, 3)``, eigenvectors in columns.
        state (ndarray): uint32 ``(64,)``, advanced in place.
        out, scratch (ndarray): float32, flat: ``out`` holds triples; ``scratch`` has `SCRATCH`
            elements.
        start, n (int): Place of the first draw, in triples, and number of draws.
    """
    axes = np.empty(3)
    third = fill(envelope(eigenvalues, axes) / 3.0)
    s0, s1, s2 = fill(axes[0]), fill(axes[1]), fill(axes[2])
    f00, f01, f02 = fill(frame[0, 0]), fill(frame[0, 1]), fill(frame[0, 2])
    f10, f11, f12 = fill(frame[1, 0]), fill(frame[1, 1]), fill(frame[1, 2])
    f20, f21, f22 = fill(frame[2, 0]), fill(frame[2, 1]), fill(frame[2, 2])
    a, b, c, d = load_state(state)
    place, end, proposals = start, start + n, 0
    while place < end:
        proposals += LANES
        first, a, b, c, d = random_words(a, b, c, d)
        second, a, b, c, d = random_words(a, b, c, d)
        last, a, b, c, d = random_words(a, b, c, d)
        x, y, z = _direction(first, second)
        x, y, z = x * s0, y * s1, z * s2
        inverse = fill(1.0) / (x * x + y * y + z * z)
        v = third * inverse
        exponent = fill(3.0) - fill(3.0) * v
        exponent = select(exponent < fill(-80.0), fill(-80.0), exponent)
        w = uniforms(last)
        keep = w * w < v * v * v * exp(exponent)
        inverse = square_root(inverse)
        x, y, z = x * inverse, y * inverse, z * inverse
        p = f00 * x + f01 * y + f02 * z
        q = f10 * x + f11 * y + f12 * z
        r = f20 * x + f21 * y + f22 * z
        if place + LANES < end:
            place = _append(out, place, p, q, r, keep)
        else:
            kept = min(_append(scratch, 0, p, q, r, keep), end - place)
            for k in range(3 * kept):
                out[3 * place + k] = scratch[k]
            place += kept
    store_state(state, a, b, c, d)
    return proposals


@njit(cache=True, nogil=True)
def sample_bingham(eigenvalues, frames, state, out):
    """Fill row i of ``out`` with draws of the law with eigenvalues and frame of row i.

    Args:
        eigenvalues, frames (ndarray): float64 ``(rows, 3)`` and ``(rows, 3, 3)``, eigenvectors in
            columns.
        state (ndarray): uint32 ``(64,)``, advanced in place.
        out (ndarray): float32, contiguous, ``(rows, n, 3)``.

    Returns:
        int: Number of proposals made.
    """
    scratch = np.empty(SCRATCH, np.float32)
    flat = out.reshape(-1)
    n, proposals = out.shape[1], 0
    for row in range(out.shape[0]):
        proposals += fill_row(eigenvalues[row], frames[row], state, flat, row * n, n, scratch)
    return proposals
