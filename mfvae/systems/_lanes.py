"""Sixteen Markov chains side by side: vectors of float32 and uint32 for Numba kernels.

LLVM compiles one vector instruction for every operation below (on processors with shorter
registers two or four), which Numba's own loop vectoriser does not achieve for random-number
generators. A kernel loads ``Floats`` and ``Words`` from flat arrays, combines them with the
usual operators and stores them again. No index is checked.

Numba's cache on disk looks at the file of the kernel alone: after an edit here or in
`_lane_random`, touch the kernels' files.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba import float32, njit, types, uint32
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

__all__ = [
    "LANES",
    "bits_of",
    "count_ones",
    "fill",
    "fill_words",
    "floor",
    "from_bits",
    "load",
    "select",
    "signed",
    "square_root",
    "store",
    "to_floats",
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
bits_of = _unary(FLOATS, WORDS, lambda b, x: b.bitcast(x, _IR[WORDS]))
from_bits = _unary(WORDS, FLOATS, lambda b, x: b.bitcast(x, _IR[FLOATS]))
count_ones = _unary(WORDS, WORDS, lambda b, x: _call(b, "llvm.ctpop.v16i32", x))
square_root = _unary(FLOATS, FLOATS, lambda b, x: _call(b, "llvm.sqrt.v16f32", x))
floor = _unary(FLOATS, FLOATS, lambda b, x: _call(b, "llvm.floor.v16f32", x))


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
