"""Sixteen numbers side by side: vectors of float32, uint32 and truth values for Numba kernels.

LLVM compiles one vector instruction for every operation below (on processors with shorter
registers two or four), which Numba's own loop vectoriser does not achieve for random-number
generators. A scalar beside lanes stands for sixteen copies of itself. No index is checked.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import intrinsic, lower_builtin, lower_cast, models, register_model

LANES = 16


class Lanes(types.Type):
    """Numba's type of one value a chain, in the registers of the processor."""

    def __init__(self, name: str, element: ir.Type) -> None:
        super().__init__(name=f"Lanes[{name}]")
        self.vector = ir.VectorType(element, LANES)


FLOATS = Lanes("float32", ir.FloatType())
WORDS = Lanes("uint32", ir.IntType(32))
MASK = Lanes("bool", ir.IntType(1))


@register_model(Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, lanes):
        super().__init__(manager, lanes, lanes.vector)


@lower_cast(types.Number, Lanes)
def _spread(context, builder, kind, lanes, value):
    element = context.cast(builder, value, kind, types.float32 if lanes == FLOATS else types.uint32)
    empty = ir.Constant(lanes.vector, ir.Undefined)
    first = builder.insert_element(empty, element, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, empty, zeros)


def _unary(result: Lanes, argument: Lanes, emit: Callable) -> Callable:
    """Return a function for kernels whose code is what ``emit(builder, value)`` builds."""

    @intrinsic
    def operation(typingctx, value):
        return result(argument), lambda _, builder, __, args: emit(builder, *args)

    return operation


def _call(name: str) -> Callable:
    def emit(builder, value):
        kind = ir.FunctionType(value.type, [value.type])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [value])

    return emit


floats = _unary(FLOATS, FLOATS, lambda _, x: x)  # of a scalar: sixteen copies
words = _unary(WORDS, WORDS, lambda _, x: x)
to_floats = _unary(FLOATS, WORDS, lambda b, x: b.sitofp(x, FLOATS.vector))  # words as signed
to_words = _unary(WORDS, FLOATS, lambda b, x: b.fptosi(x, WORDS.vector))  # towards zero
bits_of = _unary(WORDS, FLOATS, lambda b, x: b.bitcast(x, WORDS.vector))
from_bits = _unary(FLOATS, WORDS, lambda b, x: b.bitcast(x, FLOATS.vector))
count_ones = _unary(WORDS, WORDS, _call(f"llvm.ctpop.v{LANES}i32"))
square_root = _unary(FLOATS, FLOATS, _call(f"llvm.sqrt.v{LANES}f32"))
floor = _unary(FLOATS, FLOATS, _call(f"llvm.floor.v{LANES}f32"))


@intrinsic
def select(typingctx, condition, yes, no):
    """Return lane by lane ``yes`` where ``condition`` holds and ``no`` elsewhere."""
    lanes = next(kind for kind in (yes, no, WORDS) if isinstance(kind, Lanes))
    return lanes(MASK, lanes, lanes), lambda context, builder, signature, args: builder.select(
        *args
    )


def pointer_to(context, builder, array_type, array, offset, vector):
    """Return the address of an element of a contiguous array, as that of a vector."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), vector.as_pointer())


@intrinsic
def load(typingctx, array, offset):
    """Return the sixteen values of a contiguous float32 or uint32 vector from ``offset`` on."""
    lanes = FLOATS if array.dtype == types.float32 else WORDS

    def codegen(context, builder, signature, args):
        place = pointer_to(context, builder, array, *args, lanes.vector)
        return builder.load(place, align=4)

    return lanes(array, types.intp), codegen


@intrinsic
def store(typingctx, array, offset, value):
    """Write sixteen values to a contiguous vector of the same kind, from ``offset`` on."""

    def codegen(context, builder, signature, args):
        place = pointer_to(context, builder, array, *args[:2], value.vector)
        builder.store(args[2], place, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), codegen


def _define(operation: Callable, lanes: Lanes, result: Lanes, emit: Callable) -> None:
    """Let ``operation`` of two lanes, or of lanes and a scalar, be ``emit(builder, x, y)``."""

    @infer_global(operation)
    class _Signature(AbstractTemplate):
        def generic(self, args, kws):
            return result(lanes, lanes) if lanes in args else None

    lower_builtin(operation, lanes, lanes)(lambda _, builder, __, args: emit(builder, *args))


def _built(name: str, **options: object) -> Callable:
    return lambda builder, x, y: getattr(builder, name)(x, y, **options)


for _name in ("add", "sub", "mul", "truediv"):
    # Products and sums may be joined to one instruction.
    _emit = _built({"truediv": "fdiv"}.get(_name, f"f{_name}"), flags=("contract",))
    _define(getattr(operator, _name), FLOATS, FLOATS, _emit)
for _name in ("add", "sub", "mul", "and_", "or_", "xor", "lshift", "rshift"):
    _emit = _built({"lshift": "shl", "rshift": "lshr"}.get(_name, _name))
    _define(getattr(operator, _name), WORDS, WORDS, _emit)
_define(operator.lt, FLOATS, MASK, lambda b, x, y: b.fcmp_ordered("<", x, y))
_define(operator.lt, WORDS, MASK, lambda b, x, y: b.icmp_unsigned("<", x, y))
