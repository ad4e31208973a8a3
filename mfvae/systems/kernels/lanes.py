"""Sixteen numbers side by side: vectors of float32, uint32 and truth values for Numba kernels.

LLVM compiles one vector instruction for every operation below (on processors with shorter
registers two or four), which Numba's own loop vectoriser does not achieve for random numbers.
"""

import operator
from collections.abc import Callable
from functools import partial

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import intrinsic, lower_builtin, lower_cast, models, register_model

from mfvae.systems.kernels.running import inlined

LANES = 16


class Lanes(types.Type):
    """Numba's type of one value a chain, in the registers of the processor."""

    def __init__(self, name: str, element: ir.Type) -> None:
        super().__init__(name=f"Lanes[{name}]")
        self.vector = ir.VectorType(element, LANES)


FLOATS = Lanes("float32", ir.FloatType())
WORDS = Lanes("uint32", ir.IntType(32))
MASK = Lanes("bool", ir.IntType(1))
register_model(Lanes)(lambda manager, lanes: models.PrimitiveModel(manager, lanes, lanes.vector))


@lower_cast(types.Number, Lanes)
def _spread(context, builder, kind, lanes, value):
    element = context.cast(builder, value, kind, types.float32 if lanes == FLOATS else types.uint32)
    empty = ir.Constant(lanes.vector, ir.Undefined)
    first = builder.insert_element(empty, element, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, empty, zeros)


def _function(result: Lanes, argument: Lanes, emit: Callable) -> Callable:
    """Return a function for kernels whose code is what ``emit(builder, value)`` builds."""

    def codegen(context, builder, signature, args):
        return emit(builder, *args)

    return intrinsic(lambda typingctx, value: (result(argument), codegen))


def _call(name, builder, x):
    kind = ir.FunctionType(x.type, [x.type])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [x])


floats = _function(FLOATS, FLOATS, lambda _, x: x)  # of a scalar: sixteen copies
to_floats = _function(FLOATS, WORDS, lambda b, x: b.sitofp(x, FLOATS.vector))  # words as signed
to_words = _function(WORDS, FLOATS, lambda b, x: b.fptosi(x, WORDS.vector))  # towards zero
bits_of = _function(WORDS, FLOATS, lambda b, x: b.bitcast(x, WORDS.vector))
from_bits = _function(FLOATS, WORDS, lambda b, x: b.bitcast(x, FLOATS.vector))
count_ones = _function(WORDS, WORDS, partial(_call, f"llvm.ctpop.v{LANES}i32"))
square_root = _function(FLOATS, FLOATS, partial(_call, f"llvm.sqrt.v{LANES}f32"))
floor = _function(FLOATS, FLOATS, partial(_call, f"llvm.floor.v{LANES}f32"))


def _operator(name: str, lanes: Lanes, instruction: str, *order: str, **flags: object) -> None:
    """Let an operator of two lanes, or of lanes and a scalar, be one instruction of LLVM."""
    operation, result = getattr(operator, name), MASK if order else lanes

    @infer_global(operation)
    class _Signature(AbstractTemplate):
        def generic(self, args, kws):
            return result(lanes, lanes) if lanes in args else None

    @lower_builtin(operation, lanes, lanes)
    def _emit(context, builder, signature, args):
        return getattr(builder, instruction)(*order, *args, **flags)


_CODES = {"truediv": "div", "lshift": "shl", "rshift": "lshr"}
for _name in ("add", "sub", "mul", "truediv"):  # products and sums may be joined to one instruction
    _operator(_name, FLOATS, "f" + _CODES.get(_name, _name), flags=("contract",))
for _name in ("add", "sub", "mul", "and_", "or_", "xor", "lshift", "rshift"):
    _operator(_name, WORDS, _CODES.get(_name, _name))
_operator("lt", FLOATS, "fcmp_ordered", "<")
_operator("lt", WORDS, "icmp_unsigned", "<")


@intrinsic
def select(typingctx, condition, yes, no):
    """Return lane by lane ``yes`` where ``condition`` holds and ``no`` elsewhere."""
    lanes = next(kind for kind in (yes, no, WORDS) if isinstance(kind, Lanes))
    return lanes(MASK, lanes, lanes), lambda _, builder, __, args: builder.select(*args)


def _place(context, builder, array_type, array, offset, lanes):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), lanes.vector.as_pointer())


@intrinsic
def load(typingctx, array, offset):
    """Return the sixteen values of a contiguous float32 or uint32 vector from ``offset`` on."""
    lanes = FLOATS if array.dtype == types.float32 else WORDS

    def codegen(context, builder, _, args):
        return builder.load(_place(context, builder, array, *args, lanes), align=4)

    return lanes(array, types.intp), codegen


@intrinsic
def store(typingctx, array, offset, value):
    """Write sixteen values to a contiguous vector of the same kind, from ``offset`` on."""

    def codegen(context, builder, _, args):
        builder.store(args[2], _place(context, builder, array, *args[:2], value), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), codegen


@inlined
def exp(x):
    """Return e^x to float32 accuracy; x between -87 and 88 (polynomial of Cephes ``expf``)."""
    power = floor(x * 1.44269504088896341 + 0.5)
    x = x - power * 0.693359375 - power * -2.12194440e-4
    y = ((1.9875691500e-4 * x + 1.3981999507e-3) * x + 8.3334519073e-3) * x + 4.1665795894e-2
    y = (y * x + 1.6666665459e-1) * x + 5.0000001201e-1
    return (y * x * x + x + 1.0) * from_bits((to_words(power) + 127) << 23)


@inlined
def log(x):
    """Return ln x to float32 accuracy; x positive and normal (polynomial of Cephes ``logf``)."""
    bits = bits_of(x)
    exponent = to_floats((bits >> 23) - 126)
    x = from_bits((bits & 0x7FFFFF) | 0x3F000000)  # in [1/2, 1)
    small = x < 0.707106781186547524
    exponent = select(small, exponent - 1.0, exponent)
    x = select(small, x + x, x) - 1.0
    y = (7.0376836292e-2 * x + -1.1514610310e-1) * x + 1.1676998740e-1
    y = ((y * x + -1.2420140846e-1) * x + 1.4249322787e-1) * x + -1.6668057665e-1
    y = ((y * x + 2.0000714765e-1) * x + -2.4999993993e-1) * x + 3.3333331174e-1
    square = x * x
    y = y * x * square + exponent * -2.12194440e-4 - square * 0.5
    return x + y + exponent * 0.693359375
