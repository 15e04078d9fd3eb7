"""What numba cannot say of memory: addresses, the bits of a number, and a counter that threads share."""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.np import arrayobj

from tezgah.generation.cpu.vectors import intrinsic

_FLOAT, _INT, _LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)


@intrinsic
def address_of(context: Any, array: Any) -> Any:
    """Where an array's first number lies. Unlike `array.ctypes.data` it does not count a reference."""
    signature = types.int64(array)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        held = context.make_array(array)(context, builder, arguments[0])
        return builder.ptrtoint(held.data, _LONG)

    return signature, generate


@intrinsic
def floats_at(context: Any, address: Any, n: Any) -> Any:
    """`n` float32 from an address on as an array, (n,), that owns nothing."""
    array = types.Array(types.float32, 1, "C")
    signature = array(types.int64, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, n = arguments
        held = context.make_array(array)(context, builder)
        size = context.get_constant(types.intp, 4)
        data = builder.inttoptr(address, held.data.type)
        arrayobj.populate_array(held, data, [n], [size], size, meminfo=None)
        return held._getvalue()

    return signature, generate


@intrinsic
def arrive(context: Any, counter: Any) -> Any:
    """Count one more thread as arrived at the address `counter` of an int64."""
    signature = types.void(types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], _LONG.as_pointer())
        builder.atomic_rmw("add", pointer, ir.Constant(_LONG, 1), "seq_cst")
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def arrived(context: Any, counter: Any) -> Any:
    """How many threads have arrived at the address `counter`."""
    signature = types.int64(types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], _LONG.as_pointer())
        return builder.load_atomic(pointer, "seq_cst", 8)

    return signature, generate


@intrinsic
def give_way(context: Any) -> Any:
    """Let another thread have this core."""
    signature = types.void()

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_INT, []), "sched_yield")
        builder.call(function, [])
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def bits_of(context: Any, number: Any) -> Any:
    """The 32 bits of a float32."""
    signature = types.uint32(types.float32)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], _INT)

    return signature, generate


@intrinsic
def float_of(context: Any, bits: Any) -> Any:
    """The float32 of 32 bits."""
    signature = types.float32(types.int32)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], _FLOAT)

    return signature, generate
