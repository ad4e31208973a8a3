"""The Bingham law by rejection, sixteen proposals at a time, and the axes of its matrix.

A uniform direction, stretched to y by the axes of an envelope, is an angular central Gaussian
proposal; with ``v = b / (3 |y|²)`` it is accepted with probability ``(v e^{1-v})^{3/2}``. With
``d_k = 2 max(eigenvalues) - 2 eigenvalues[k]``, b solves ``Σ 1/(b + d_k) = 1`` and the envelope
has precision ``1 + d_k / b`` along axis k (Kent, Ganeiber & Mardia 2013).
"""

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from mfvae.systems.kernels import random
from mfvae.systems.kernels.lanes import LANES, bits_of, exp, floats, from_bits, select, square_root
from mfvae.systems.kernels.random import load_state, next_words, quarter_circle, uniforms
from mfvae.systems.kernels.running import compiled


@intrinsic
def _append(typingctx, out, place, x, y, z, keep):
    """Write the triples (x, y, z) of the lanes kept, one after another, and return the next place.

    Every lane is written, where the next one kept will overwrite it: up to 49 floats of flat
    ``out`` are touched, from ``3 place`` on.
    """

    def codegen(context, builder, signature, args):
        size = ir.IntType(types.intp.bitwidth)
        quadruple = ir.VectorType(ir.FloatType(), 4).as_pointer()
        data, position = context.make_array(out)(context, builder, args[0]).data, args[1]

        def shuffle(first, second, order):
            mask = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order)
            return builder.shuffle_vector(first, second, mask)

        halves = [[j for i in range(h, h + 8) for j in (i, i + LANES)] for h in (0, 8)]
        xy = [shuffle(args[2], args[3], half) for half in halves]
        zz = [shuffle(args[4], args[4], half) for half in halves]
        # One move to a general register: taking lanes of a mask one by one is slow.
        bits = builder.zext(builder.bitcast(args[5], ir.IntType(LANES)), size)
        for lane in range(LANES):
            h, i = divmod(lane, 8)
            triple = shuffle(xy[h], zz[h], [2 * i, 2 * i + 1, LANES + 2 * i, LANES + 2 * i])
            pointer = builder.gep(data, [builder.mul(position, ir.Constant(size, 3))])
            builder.store(triple, builder.bitcast(pointer, quadruple), align=4)
            kept = builder.lshr(bits, ir.Constant(size, lane))
            position = builder.add(position, builder.and_(kept, ir.Constant(size, 1)))
        return position

    return types.intp(out, types.intp, x, y, z, keep), codegen


@compiled
def sample_bingham(eigenvalues, frames, state, out):
    """Fill row i of ``out``, float32 ``(rows, n, 3)``, with draws of law i; return the proposals.

    ``eigenvalues`` are ``(rows, 3)``, ``frames`` ``(rows, 3, 3)`` with eigenvectors in columns.
    """
    flat, n, proposals = out.reshape(-1), out.shape[1], 0
    s, scratch = load_state(state), state.view(np.float32)  # room until it is stored again
    for row in range(len(out)):
        e, f = eigenvalues[row], frames[row]
        top = max(e[0], max(e[1], e[2]))
        d0, d1, d2 = 2.0 * (top - e[0]), 2.0 * (top - e[1]), 2.0 * (top - e[2])
        b = 1.0
        for _ in range(100):  # Newton from b = 1 climbs monotonically: the sum is convex
            i0, i1, i2 = 1.0 / (b + d0), 1.0 / (b + d1), 1.0 / (b + d2)
            step = (-1.0 + i0 + i1 + i2) / (i0 * i0 + i1 * i1 + i2 * i2)
            b += step
            if step < 1e-14 * b:
                break
        third = floats(b / 3.0)
        s0 = floats(1.0 / math.sqrt(1.0 + d0 / b))
        s1 = floats(1.0 / math.sqrt(1.0 + d1 / b))
        s2 = floats(1.0 / math.sqrt(1.0 + d2 / b))
        f00, f01, f02 = floats(f[0, 0]), floats(f[0, 1]), floats(f[0, 2])
        f10, f11, f12 = floats(f[1, 0]), floats(f[1, 1]), floats(f[1, 2])
        f20, f21, f22 = floats(f[2, 0]), floats(f[2, 1]), floats(f[2, 2])
        place, end = row * n, (row + 1) * n
        while place < end:
            proposals += LANES
            first, s = next_words(s)
            second, s = next_words(s)
            last, s = next_words(s)
            # Height and azimuth are uniform, the latter in one quarter of the circle; spare bits
            # choose the quarter and the hemisphere, which keeps both poles finely resolved.
            u = uniforms(first)
            z = from_bits(bits_of(1.0 - u) ^ (first << 31)) * s2
            sign = (second << 1) & 0x80000000
            radius = from_bits(bits_of(square_root(u * (2.0 - u))) ^ sign)
            x, y = quarter_circle(second)
            x, y = radius * x * s0, radius * y * s1
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
                place = _append(flat, place, p, q, r, keep)
            else:
                kept = min(_append(scratch, 0, p, q, r, keep), end - place)
                for k in range(3 * kept):
                    flat[3 * place + k] = scratch[k]
                place += kept
    random.store_state(state, s)
    return proposals


@compiled
def eigen_symmetric(matrix, frame):
    """Diagonalise ``matrix`` (3, 3) in place by cyclic Jacobi, much faster than by LAPACK;
    eigenvectors in columns of ``frame``."""
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
                t = (1.0 if theta >= 0.0 else -1.0) / (abs(theta) + math.sqrt(theta * theta + 1.0))
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


@compiled
def diagonalize(matrices, frames):
    """Apply `eigen_symmetric` to every row, ``(rows, 3, 3)``."""
    for row in range(len(matrices)):
        eigen_symmetric(matrices[row], frames[row])
