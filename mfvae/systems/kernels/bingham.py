"""The Bingham law by rejection, sixteen proposals at a time, and the axes of its matrix.

A uniform direction, stretched to y by the axes of an envelope, is an angular central Gaussian
proposal; with ``v = b / (3 |y|²)`` it is accepted with probability ``(v e^{1-v})^{3/2}``. With
``beta_k = max(eigenvalues) - eigenvalues[k]``, b solves ``sum 1/(b + 2 beta_k) = 1`` and the
envelope has precision ``1 + 2 beta_k / b`` along axis k (Kent, Ganeiber & Mardia 2013).
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from mfvae.systems.kernels.compilation import compiled, inlined
from mfvae.systems.kernels.lanes import LANES, bits_of, floats, from_bits, select, square_root
from mfvae.systems.kernels.random import (
    exp,
    lane_states,
    load_state,
    next_words,
    quarter_circle,
    store_state,
    uniforms,
)
from mfvae.systems.kernels.threads import in_threads

SCRATCH = 64  # floats of scratch space that `fill_row` needs
_BLOCK = 65536  # draws for each state of the generators


@intrinsic
def _append(typingctx, out, place, x, y, z, keep):
    """Write the triples (x, y, z) of the lanes kept, one after another, and return the next place.

    ``out`` is flat; every lane is written, at the place where the next one kept will
    overwrite it, so that up to 49 floats from ``3 place`` on are touched.
    """

    def codegen(context, builder, signature, args):
        size = ir.IntType(types.intp.bitwidth)
        quadruple = ir.VectorType(ir.FloatType(), 4)
        data = context.make_array(out)(context, builder, args[0]).data
        position = args[1]

        def shuffle(first, second, order):
            mask = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order)
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

    return types.intp(out, types.intp, x, y, z, keep), codegen


@compiled
def _envelope(eigenvalues, axes):
    """Fill ``axes`` with the lengths of the envelope's axes and return its parameter b."""
    top = max(eigenvalues[0], max(eigenvalues[1], eigenvalues[2]))
    b = 1.0
    for _ in range(100):  # Newton from b = 1 climbs monotonically: the sum is convex
        excess, slope = -1.0, 0.0
        for k in range(3):
            inverse = 1.0 / (b + 2.0 * (top - eigenvalues[k]))
            excess += inverse
            slope += inverse * inverse
        b += excess / slope
        if excess / slope < 1e-14 * b:
            break
    for k in range(3):
        axes[k] = 1.0 / math.sqrt(1.0 + 2.0 * (top - eigenvalues[k]) / b)
    return b


@inlined
def _direction(first, second):
    """Return a uniform point of the sphere a lane from two random words.

    Height and azimuth are uniform. The azimuth is drawn in one quarter of the circle; spare
    bits choose the quarter and the hemisphere, which keeps both poles finely resolved.
    """
    u = uniforms(first)
    z = from_bits(bits_of(1.0 - u) ^ (first << 31))
    sign = (second << 1) & 0x80000000
    radius = from_bits(bits_of(square_root(u * (2.0 - u))) ^ sign)
    x, y = quarter_circle(second)
    return radius * x, radius * y, z


@compiled
def fill_row(eigenvalues, frame, state, out, start, n, scratch):
    """Write ``n`` draws of one law to ``out`` from triple ``start`` on; return the proposals made.

    Args:
        eigenvalues, frame: float64 ``(3,)`` and ``(3, 3)``, eigenvectors in columns.
        state: uint32 ``(64,)``, advanced in place.
        out, scratch: float32, flat: triples, and `SCRATCH` elements of room.
    """
    axes = np.empty(3)
    third = floats(_envelope(eigenvalues, axes) / 3.0)
    s0, s1, s2 = floats(axes[0]), floats(axes[1]), floats(axes[2])
    f00, f01, f02 = floats(frame[0, 0]), floats(frame[0, 1]), floats(frame[0, 2])
    f10, f11, f12 = floats(frame[1, 0]), floats(frame[1, 1]), floats(frame[1, 2])
    f20, f21, f22 = floats(frame[2, 0]), floats(frame[2, 1]), floats(frame[2, 2])
    s = load_state(state)
    place, end, proposals = start, start + n, 0
    while place < end:
        proposals += LANES
        first, s = next_words(s)
        second, s = next_words(s)
        last, s = next_words(s)
        x, y, z = _direction(first, second)
        x, y, z = x * s0, y * s1, z * s2
        inverse = 1.0 / (x * x + y * y + z * z)
        v = third * inverse
        exponent = 3.0 - 3.0 * v
        w = uniforms(last)
        keep = w * w < v * v * v * exp(select(exponent < -80.0, -80.0, exponent))
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
    store_state(state, s)
    return proposals


@compiled
def sample_bingham(eigenvalues, frames, state, out):
    """Fill row i of ``out``, float32 ``(rows, n, 3)``, with draws of law i; return the proposals.

    Eigenvalues, frames and ``state`` as in `fill_row`, the first two with a leading axis.
    """
    scratch = np.empty(SCRATCH, np.float32)
    flat = out.reshape(-1)
    n, proposals = out.shape[1], 0
    for row in range(out.shape[0]):
        proposals += fill_row(eigenvalues[row], frames[row], state, flat, row * n, n, scratch)
    return proposals


def draw_rows(
    eigenvalues: np.ndarray, frames: np.ndarray, seed: np.random.SeedSequence, out: np.ndarray
) -> None:
    """Fill every row of ``out`` with draws of its own law, in parallel by blocks of fixed size.

    Every block has a generator of its own: the bits depend on the seed alone.

    Args:
        eigenvalues, frames: float64 ``(rows, 3)`` and ``(rows, 3, 3)``, eigenvectors in columns.
        out: float32, contiguous, ``(rows, n, 3)``.
    """
    n_rows, n, _ = out.shape
    step = max(1, _BLOCK // n)
    pieces = [
        (slice(row, row + step), slice(first, first + _BLOCK))
        for row in range(0, n_rows, step)
        for first in range(0, n, _BLOCK)
    ]
    states = lane_states(seed, len(pieces))

    def draw(i: int) -> None:
        rows, draws = pieces[i]
        sample_bingham(eigenvalues[rows], frames[rows], states[i], out[rows, draws])

    in_threads(draw, range(len(pieces)))


# ------------------------------------------------------------------ axes of symmetric matrices


@compiled
def eigen_symmetric(matrix, frame):
    """Diagonalise ``matrix`` (3, 3) in place by cyclic Jacobi; eigenvectors in columns of
    ``frame``. Much faster than LAPACK at this size."""
    frame[:] = 0.0
    frame[0, 0] = frame[1, 1] = frame[2, 2] = 1.0
    for _ in range(30):
        off = matrix[0, 1] ** 2 + matrix[0, 2] ** 2 + matrix[1, 2] ** 2
        size = matrix[0, 0] ** 2 + matrix[1, 1] ** 2 + matrix[2, 2] ** 2
        if off <= 1e-30 * size + 1e-300:
            break
        for p, q in ((0, 1), (0, 2), (1, 2)):
            if matrix[p, q] == 0.0:
                continue
            theta = 0.5 * (matrix[q, q] - matrix[p, p]) / matrix[p, q]
            t = (1.0 if theta >= 0.0 else -1.0) / (abs(theta) + math.sqrt(theta * theta + 1.0))
            c = 1.0 / math.sqrt(t * t + 1.0)
            s = t * c
            for k in range(3):
                u, v = matrix[k, p], matrix[k, q]
                matrix[k, p], matrix[k, q] = c * u - s * v, s * u + c * v
                u, v = frame[k, p], frame[k, q]
                frame[k, p], frame[k, q] = c * u - s * v, s * u + c * v
            for k in range(3):
                u, v = matrix[p, k], matrix[q, k]
                matrix[p, k], matrix[q, k] = c * u - s * v, s * u + c * v


@compiled
def _diagonalise(matrices, frames):
    for row in range(len(matrices)):
        eigen_symmetric(matrices[row], frames[row])


def eigen_decomposition(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ascending eigenvalues, and eigenvectors in columns, by Jacobi rotations.

    The signs of the eigenvectors, and with them the bits of all draws, are those of the rotations.

    Args:
        matrices: Symmetric, ``(..., 3, 3)``.

    Returns:
        float64 ``(..., 3)`` and ``(..., 3, 3)``.

    >>> values, frames = eigen_decomposition(np.array([[2.0, 1, 0], [1, 2, 0], [0, 0, 2]]))
    >>> values.round(12).tolist()
    [1.0, 2.0, 3.0]
    """
    work = np.array(matrices, dtype=np.float64, order="C").reshape(-1, 3, 3)
    frames = np.empty_like(work)
    _diagonalise(work, frames)
    values = np.diagonal(work, axis1=1, axis2=2)
    order = np.argsort(values, axis=1, kind="stable")
    values = np.take_along_axis(values, order, axis=1).reshape(matrices.shape[:-1])
    return values, np.take_along_axis(frames, order[:, None], axis=2).reshape(matrices.shape)
