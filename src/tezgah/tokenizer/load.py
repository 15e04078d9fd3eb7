"""Eight bytes at once: what makes hashing and comparing short words cost a few instructions."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

from tezgah.compiled import inlined


@intrinsic
def _load(typing_context, array, index):
    """The eight bytes of a byte array from `index` on, lowest first, wherever they are aligned."""

    def generate(context, builder, signature: Signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        place = builder.gep(data, [arguments[1]])
        return builder.load(builder.bitcast(place, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(array, types.intp), generate


@intrinsic
def fetch(typing_context, table, row):
    """Begin to read a row of a table, (rows, columns) of eight bytes each, that is looked at soon."""

    def generate(context, builder, signature: Signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        columns = cgutils.unpack_tuple(builder, array.shape, 2)[1]
        address, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        place = builder.bitcast(builder.gep(array.data, [builder.mul(arguments[1], columns)]), address)
        kind = ir.FunctionType(ir.VoidType(), [address, number, number, number])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(prefetch, [place, number(0), number(3), number(1)])  # to read, into the nearest cache, data
        return context.get_dummy_value()

    return types.void(table, types.intp), generate


@inlined
def load(text, begin, length):
    """The first `length`, one to eight, bytes of `text` from `begin` on, as one number."""
    if begin + 8 <= len(text):
        beyond = np.uint64(64 - 8 * length)
        return _load(text, begin) << beyond >> beyond  # type: ignore[call-arg]
    value = np.uint64(0)
    for k in range(length):
        value |= np.uint64(text[begin + k]) << np.uint64(8 * k)
    return value


@inlined
def same(text, begin, other, start, length):
    """Whether `length` bytes of `text` from `begin` on are those of `other` from `start` on."""
    while length > 8:
        if load(text, begin, 8) != load(other, start, 8):
            return False
        begin, start, length = begin + 8, start + 8, length - 8
    return load(text, begin, length) == load(other, start, length)
