"""Sixteen Markov chains side by side: vectors of float32 and uint32 for Numba kernels.

LLVM compiles one vector instruction for every operation below (on processors with shorter
registers two or four), which Numba's own loop vectoriser does not achieve for random-number
generators. A kernel loads ``Floats`` and ``Words`` from flat arrays, combines them with the
usual operators and stores them again. No index is checked.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba import float32, njit, types, uint32
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

__all__ = [
    "LANES",
    "count_ones",
    "exp",
    "fill",
    "fill_words",
    "load",
    "normal_pair",
    "random_words",
    "select",
    "signed",
    "store",
    "to_floats",
    "uniforms",
]

LANES = 16


class _Lanes(types.Type):
    """One value a chain, in the registers of the processor."""

    def __init__(self, name: str) -> None:
        super().__init__(name=f"Lanes[{name}]")


class _FloatsType(_Lanes):
    pass


class _WordsType(_Lanes):
    pass


class _MaskType(_Lanes):
    pass


FLOATS, WORDS, MASK = _FloatsType("float32"), _WordsType("uint32"), _MaskType("bool")
_IR = {
    FLOATS: ir.VectorType(ir.FloatType(), LANES),
    WORDS: ir.VectorType(ir.IntType(32), LANES),
    MASK: ir.VectorType(ir.IntType(1), LANES),
}


def _register(kind: type, lanes: _Lanes) -> None:
    @register_model(kind)
    class _Model(models.PrimitiveModel):
        def __init__(self, manager, frontend_type):
            super().__init__(manager, frontend_type, _IR[lanes])


for _kind, _value in ((_FloatsType, FLOATS), (_WordsType, WORDS), (_MaskType, MASK)):
    _register(_kind, _value)


def _splat(builder, scalar, vector_type):
    start = builder.insert_element(
        ir.Constant(vector_type, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0)
    )
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(start, ir.Constant(vector_type, ir.Undefined), zeros)


def _pointer(context, builder, array_type, array, offset, lanes):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), _IR[lanes].as_pointer())


@intrinsic
def load(typingctx, array, offset):
    """Return the sixteen values of a contiguous float32 or uint32 vector from ``offset`` on."""
    lanes = FLOATS if array.dtype == types.float32 else WORDS

    def codegen(context, builder, signature, args):
        place = context.cast(builder, args[1], signature.args[1], types.intp)
        pointer = _pointer(context, builder, signature.args[0], args[0], place, lanes)
        return builder.load(pointer, align=4)

    return lanes(array, offset), codegen


@intrinsic
def store(typingctx, array, offset, value):
    """Write sixteen values to a contiguous vector of the same kind, from ``offset`` on."""

    def codegen(context, builder, signature, args):
        place = context.cast(builder, args[1], signature.args[1], types.intp)
        kind = signature.args[2]
        pointer = _pointer(context, builder, signature.args[0], args[0], place, kind)
        builder.store(args[2], pointer, align=4)
        return context.get_dummy_value()

    return types.void(array, offset, value), codegen


def _scalar_intrinsic(scalar, lanes):
    @intrinsic
    def splat(typingctx, value):
        def codegen(context, builder, signature, args):
            return _splat(builder, args[0], _IR[lanes])

        return lanes(scalar), codegen

    return splat


_fill_floats = _scalar_intrinsic(types.float32, FLOATS)
_fill_words = _scalar_intrinsic(types.uint32, WORDS)


@njit(inline="always")
def fill(value):
    """Return ``value`` as a float32 in every lane."""
    return _fill_floats(float32(value))


@njit(inline="always")
def fill_words(value):
    """Return ``value`` as a uint32 in every lane."""
    return _fill_words(uint32(value))


def _call(builder, name, value):
    kind = ir.FunctionType(value.type, [value.type])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [value])


def _unary(argument, result, emit):
    @intrinsic
    def operation(typingctx, value):
        def codegen(context, builder, signature, args):
            return emit(builder, args[0])

        return result(argument), codegen

    return operation


def _binary(argument, result, emit):
    @intrinsic
    def operation(typingctx, left, right):
        def codegen(context, builder, signature, args):
            return emit(builder, args[0], args[1])

        return result(argument, argument), codegen

    return operation


to_floats = _unary(WORDS, FLOATS, lambda b, x: b.sitofp(x, _IR[FLOATS]))  # words as signed
signed = _unary(FLOATS, WORDS, lambda b, x: b.fptosi(x, _IR[WORDS]))  # towards zero
_bits = _unary(FLOATS, WORDS, lambda b, x: b.bitcast(x, _IR[WORDS]))
_from_bits = _unary(WORDS, FLOATS, lambda b, x: b.bitcast(x, _IR[FLOATS]))
count_ones = _unary(WORDS, WORDS, lambda b, x: _call(b, "llvm.ctpop.v16i32", x))
_square_root = _unary(FLOATS, FLOATS, lambda b, x: _call(b, "llvm.sqrt.v16f32", x))
_floor = _unary(FLOATS, FLOATS, lambda b, x: _call(b, "llvm.floor.v16f32", x))


@intrinsic
def select(typingctx, condition, yes, no):
    """Return lane by lane ``yes`` where ``condition`` holds and ``no`` elsewhere."""

    def codegen(context, builder, signature, args):
        return builder.select(*args)

    return yes(condition, yes, no), codegen


def _overload(operation, kinds) -> None:
    @overload(operation, inline="always")
    def choose(left, right):
        emitted = kinds.get(left)
        if emitted is None or left != right:
            return None
        return lambda left, right: emitted(left, right)


_FAST = ("contract",)
for _operation, _kinds in {
    operator.add: {
        FLOATS: _binary(FLOATS, FLOATS, lambda b, x, y: b.fadd(x, y, flags=_FAST)),
        WORDS: _binary(WORDS, WORDS, lambda b, x, y: b.add(x, y)),
    },
    operator.sub: {
        FLOATS: _binary(FLOATS, FLOATS, lambda b, x, y: b.fsub(x, y, flags=_FAST)),
        WORDS: _binary(WORDS, WORDS, lambda b, x, y: b.sub(x, y)),
    },
    operator.mul: {
        FLOATS: _binary(FLOATS, FLOATS, lambda b, x, y: b.fmul(x, y, flags=_FAST)),
        WORDS: _binary(WORDS, WORDS, lambda b, x, y: b.mul(x, y)),
    },
    operator.truediv: {
        FLOATS: _binary(FLOATS, FLOATS, lambda b, x, y: b.fdiv(x, y)),
    },
    operator.lt: {
        FLOATS: _binary(FLOATS, MASK, lambda b, x, y: b.fcmp_ordered("<", x, y)),
        WORDS: _binary(WORDS, MASK, lambda b, x, y: b.icmp_unsigned("<", x, y)),
    },
    operator.and_: {WORDS: _binary(WORDS, WORDS, lambda b, x, y: b.and_(x, y))},
    operator.or_: {WORDS: _binary(WORDS, WORDS, lambda b, x, y: b.or_(x, y))},
    operator.xor: {WORDS: _binary(WORDS, WORDS, lambda b, x, y: b.xor(x, y))},
    operator.lshift: {WORDS: _binary(WORDS, WORDS, lambda b, x, y: b.shl(x, y))},
    operator.rshift: {WORDS: _binary(WORDS, WORDS, lambda b, x, y: b.lshr(x, y))},
}.items():
    _overload(_operation, _kinds)


@njit(inline="always")
def _rotate(words, left):
    return (words << fill_words(left)) | (words >> fill_words(32 - left))


@njit(inline="always")
def random_words(a, b, c, d):
    """Return 32 random bits a lane and the four words of the next state (xoshiro128++).

    Blackman & Vigna, ACM Trans. Math. Softw. 47 (2021) 36.
    """
    words = _rotate(a + d, 7) + a
    shifted = b << fill_words(9)
    c = c ^ a
    d = d ^ b
    b = b ^ c
    a = a ^ d
    return words, a, b, c ^ shifted, _rotate(d, 11)


@njit(inline="always")
def uniforms(words):
    """Return floats in (0, 1) from random words: 31 bits, so that rare events stay resolved."""
    return (to_floats(words >> fill_words(1)) + fill(0.5)) * fill(2.0**-31)


@njit(inline="always")
def exp(x):
    """Return e^x to float32 accuracy; x between -87 and 88 (polynomial of Cephes ``expf``)."""
    power = _floor(x * fill(1.44269504088896341) + fill(0.5))
    x = x - power * fill(0.693359375) - power * fill(-2.12194440e-4)
    y = fill(1.9875691500e-4) * x + fill(1.3981999507e-3)
    y = y * x + fill(8.3334519073e-3)
    y = y * x + fill(4.1665795894e-2)
    y = y * x + fill(1.6666665459e-1)
    y = y * x + fill(5.0000001201e-1)
    y = y * x * x + x + fill(1.0)
    return y * _from_bits((signed(power) + fill_words(127)) << fill_words(23))


@njit(inline="always")
def _log(x):
    bits = _bits(x)
    exponent = to_floats((bits >> fill_words(23)) - fill_words(126))
    x = _from_bits((bits & fill_words(0x7FFFFF)) | fill_words(0x3F000000))  # in [1/2, 1)
    small = x < fill(0.707106781186547524)
    exponent = select(small, exponent - fill(1.0), exponent)
    x = select(small, x + x, x) - fill(1.0)
    y = fill(7.0376836292e-2) * x + fill(-1.1514610310e-1)
    y = y * x + fill(1.1676998740e-1)
    y = y * x + fill(-1.2420140846e-1)
    y = y * x + fill(1.4249322787e-1)
    y = y * x + fill(-1.6668057665e-1)
    y = y * x + fill(2.0000714765e-1)
    y = y * x + fill(-2.4999993993e-1)
    y = y * x + fill(3.3333331174e-1)
    square = x * x
    y = y * x * square + exponent * fill(-2.12194440e-4) - square * fill(0.5)
    return x + y + exponent * fill(0.693359375)


@njit(inline="always")
def normal_pair(first, second):
    """Return two independent standard normals a lane from two random words (Box & Muller 1958).

    The angle is drawn in one quarter of the circle; two spare bits choose the quarter.
    """
    radius = _square_root(_log(uniforms(first)) * fill(-2.0))
    angle = to_floats(second & fill_words(0x3FFFFFFF)) * fill(2.0**-30) - fill(0.5)
    angle = angle * fill(1.57079632679489662)
    square = angle * angle
    sine = fill(-1.9515295891e-4) * square + fill(8.3321608736e-3)
    sine = (sine * square + fill(-1.6666654611e-1)) * square * angle + angle
    cosine = fill(2.443315711809948e-5) * square + fill(-1.388731625493765e-3)
    cosine = (cosine * square + fill(4.166664568298827e-2)) * square * square
    cosine = cosine - square * fill(0.5) + fill(1.0)
    swap = second < fill_words(0x80000000)
    turn = (second << fill_words(1)) < fill_words(0x80000000)
    radius = select(turn, radius, fill(0.0) - radius)
    return radius * select(swap, sine, cosine), radius * select(swap, cosine, sine)
