"""What numba cannot say of itself: sums and products of 16 numbers at once, as LLVM code.

Every sum is made in one order, whatever the number of rows beside it and whatever the machine's vectors hold: 16
partial sums, added pairwise at the end. So a row comes out the same to the bit in any batch. Arrays are handed over
as addresses, because the weights of a model are many arrays of one kind: `kind` is an empty array of their type
(float32; uint16 for the bits of bfloat16; int8).
"""

import math
from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils

intrinsic: Any = extending.intrinsic  # numba gives the context, callers do not

LANES = 16  # numbers at once; every length here is a multiple of it

_FLOAT, _INT, _LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_VECTOR, _INTS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INT, LANES)
_BYTE_POINTER = ir.IntType(8).as_pointer()


@intrinsic(prefer_literal=True)
def dot_tile(
    context: Any,
    kind: Any,
    outputs: Any,
    rows: Any,
    weights: Any,
    weights_stride: Any,
    x: Any,
    x_stride: Any,
    length: Any,
    out: Any,
    out_stride: Any,
    ahead: Any,
    pace: Any,
) -> Any:
    """Dot products of `outputs` rows of weights with `rows` rows of float32, each `length` long, into `out`.

    Strides are in bytes; outputs of one row lie side by side. `outputs` and `rows` are literals. With every 16 numbers,
    memory that is read soon is asked for: that which lies `ahead` bytes after each row of weights, and from there on by
    `pace` bytes further every time; with a pace of the literal 0 none is.
    """
    item, n_outputs, n_rows = kind.dtype, outputs.literal_value, rows.literal_value
    signature = types.void(kind, outputs, rows, *[types.int64] * 8, pace)
    fetches = not isinstance(pace, types.IntegerLiteral)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        weights, weights_stride, x, x_stride, length, out, out_stride, ahead, pace = arguments[3:]
        multiply_add = _multiply_add(builder)
        weight_rows = [builder.add(weights, builder.mul(weights_stride, _long(o))) for o in range(n_outputs)]
        x_rows = [builder.add(x, builder.mul(x_stride, _long(r))) for r in range(n_rows)]
        with _Loop(builder, length, LANES, n_outputs * n_rows) as loop:
            held = [_load(builder, item, row, loop.index) for row in weight_rows]
            if fetches:
                further = builder.add(ahead, builder.mul(builder.udiv(loop.index, _long(LANES)), pace))
                for row in weight_rows:
                    _prefetch(builder, builder.add(row, further))
            for r, row in enumerate(x_rows):
                numbers = _load(builder, types.float32, row, loop.index)
                for o, weight in enumerate(held):
                    place = r * n_outputs + o
                    loop.sums[place] = builder.call(multiply_add, [weight, numbers, loop.sums[place]])
        totals = _totals(builder, loop.sums)
        for r in range(n_rows):
            to = builder.add(out, builder.mul(out_stride, _long(r)))
            _store(builder, totals, r * n_outputs, n_outputs, to)
        return context.get_dummy_value()

    return signature, generate


@intrinsic(prefer_literal=True)
def mix_tile(
    context: Any, kind: Any, vectors: Any, shares: Any, time: Any, values: Any, values_stride: Any, out: Any
) -> Any:
    """Σ over `time` of shares[t] · values[t], 16 · `vectors` numbers, into `out`; shares are float32, values of `kind`.

    The stride is in bytes; `vectors` is a literal.
    """
    item, n_vectors = kind.dtype, vectors.literal_value
    signature = types.void(kind, vectors, *[types.int64] * 5)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        shares, time, values, values_stride, out = arguments[2:]
        multiply_add = _multiply_add(builder)
        with _Loop(builder, time, 1, n_vectors) as loop:
            share = builder.load(_pointer(builder, shares, loop.index, 4, _FLOAT))
            spread = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), share, ir.Constant(_INT, 0))
            spread = builder.shuffle_vector(spread, spread, ir.Constant(_INTS, [0] * LANES))
            row = builder.add(values, builder.mul(values_stride, loop.index))
            for place in range(n_vectors):
                numbers = _load(builder, item, row, _long(place * LANES))
                loop.sums[place] = builder.call(multiply_add, [spread, numbers, loop.sums[place]])
        for place in range(n_vectors):
            builder.store(loop.sums[place], _pointer(builder, out, _long(place * LANES), 4, _VECTOR)).align = 4
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def dot(context: Any, x: Any, y: Any, length: Any) -> Any:
    """Σ x · y over float32 at two addresses."""
    signature = types.float32(*[types.int64] * 3)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, y, length = arguments
        multiply_add = _multiply_add(builder)
        with _Loop(builder, length, LANES, 1) as loop:
            pair = [_load(builder, types.float32, row, loop.index) for row in (x, y)]
            loop.sums[0] = builder.call(multiply_add, [*pair, loop.sums[0]])
        return _first(builder, _totals(builder, loop.sums)[0])

    return signature, generate


@intrinsic
def total(context: Any, x: Any, length: Any) -> Any:
    """Σ x over float32 at an address."""
    signature = types.float32(*[types.int64] * 2)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, length = arguments
        with _Loop(builder, length, LANES, 1) as loop:
            loop.sums[0] = builder.fadd(loop.sums[0], _load(builder, types.float32, x, loop.index))
        return _first(builder, _totals(builder, loop.sums)[0])

    return signature, generate


@intrinsic
def highest(context: Any, x: Any, length: Any) -> Any:
    """The highest of float32 at an address."""
    signature = types.float32(*[types.int64] * 2)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, length = arguments

        def higher(one: Any, other: Any) -> Any:
            return builder.select(builder.fcmp_ordered(">", one, other), one, other)

        with _Loop(builder, length, LANES, 1, -math.inf) as loop:
            loop.sums[0] = higher(loop.sums[0], _load(builder, types.float32, x, loop.index))
        return _first(builder, _totals(builder, loop.sums, higher)[0])

    return signature, generate


@intrinsic
def widen(context: Any, kind: Any, numbers: Any, length: Any, out: Any) -> Any:
    """Numbers of `kind` at an address as float32 at another; as many behind them are asked for, to be read next."""
    item = kind.dtype
    signature = types.void(kind, *[types.int64] * 3)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers, length, out = arguments[1:]
        size = _long(item.bitwidth // 8)
        after = builder.add(numbers, builder.mul(length, size))
        with _Loop(builder, length, LANES, 0) as loop:
            _prefetch(builder, builder.add(after, builder.mul(loop.index, size)))
            wide = _load(builder, item, numbers, loop.index)
            builder.store(wide, _pointer(builder, out, loop.index, 4, _VECTOR)).align = 4
        return context.get_dummy_value()

    return signature, generate


class _Loop:
    """A loop of LLVM code from 0 up to an end, at least once, with vectors that are summed in it."""

    def __init__(self, builder: Any, end: Any, step: int, n_sums: int, begun_with: float = 0.0) -> None:
        self._builder, self._end, self._step = builder, end, step
        before, self._body = builder.block, builder.append_basic_block("loop")
        self._after = builder.append_basic_block("after")
        builder.branch(self._body)
        builder.position_at_end(self._body)
        self.index = builder.phi(_LONG)
        self.index.add_incoming(_long(0), before)
        self._begun = [builder.phi(_VECTOR) for _ in range(n_sums)]
        for begun in self._begun:
            begun.add_incoming(ir.Constant(_VECTOR, [begun_with] * LANES), before)
        self.sums: list[Any] = list(self._begun)

    def __enter__(self) -> "_Loop":
        return self

    def __exit__(self, *failure: object) -> None:
        following = self._builder.add(self.index, _long(self._step))
        self.index.add_incoming(following, self._builder.block)
        for begun, total in zip(self._begun, self.sums, strict=True):
            begun.add_incoming(total, self._builder.block)
        self._builder.cbranch(self._builder.icmp_signed("<", following, self._end), self._body, self._after)
        self._builder.position_at_end(self._after)


def _load(builder: Any, item: Any, row: Any, at: Any) -> Any:
    """16 numbers of type `item` from the address `row` on, beginning with number `at`, as float32."""
    if item == types.float32:
        loaded = builder.load(_pointer(builder, row, at, 4, _VECTOR))
        loaded.align = 4
        return loaded
    if item == types.uint16:
        loaded = builder.load(_pointer(builder, row, at, 2, ir.VectorType(ir.IntType(16), LANES)))
        loaded.align = 2
        wide = builder.shl(builder.zext(loaded, _INTS), ir.Constant(_INTS, [16] * LANES))
        return builder.bitcast(wide, _VECTOR)
    assert item == types.int8, item
    loaded = builder.load(_pointer(builder, row, at, 1, ir.VectorType(ir.IntType(8), LANES)))
    loaded.align = 1
    return builder.sitofp(builder.sext(loaded, _INTS), _VECTOR)


def _prefetch(builder: Any, address: Any) -> None:
    """Ask for what lies at an address that is read soon."""
    kind = ir.FunctionType(ir.VoidType(), [_BYTE_POINTER, _INT, _INT, _INT])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    pointer = builder.inttoptr(address, _BYTE_POINTER)
    builder.call(function, [pointer, ir.Constant(_INT, 0), ir.Constant(_INT, 2), ir.Constant(_INT, 1)])


def _totals(builder: Any, vectors: list[Any], join: Any = None) -> list[Any]:
    """The sums of the 16 numbers of every vector, side by side in vectors of 16, the first 16 in the first.

    Halves are added to one another until one number is left, those of two vectors at once: a vector that holds
    16 / n numbers of n vectors becomes one that holds half as many of twice as many. `join` in place of sums.
    """
    width = LANES
    while width > 1:
        width //= 2
        firsts = [lane for lane in range(2 * LANES) if lane // width % 2 == 0]
        pairs = [(vectors[i], vectors[min(i + 1, len(vectors) - 1)]) for i in range(0, len(vectors), 2)]
        vectors = []
        for one, other in pairs:
            low, high = (
                builder.shuffle_vector(one, other, ir.Constant(_INTS, [lane + add for lane in firsts]))
                for add in (0, width)
            )
            vectors.append((join or builder.fadd)(low, high))
    return vectors


def _store(builder: Any, vectors: list[Any], first: int, count: int, to: Any) -> None:
    """`count` numbers of vectors that stand side by side, from the one of place `first` on, to an address."""
    step = 2 if count % 2 == 0 else 1  # pairs cost half as many instructions
    for place in range(first, first + count, step):
        lanes = ir.Constant(ir.VectorType(_INT, step), [place % LANES + lane for lane in range(step)])
        held = vectors[place // LANES]
        pointer = _pointer(builder, to, _long(place - first), 4, ir.VectorType(_FLOAT, step))
        builder.store(builder.shuffle_vector(held, held, lanes), pointer).align = 4


def _first(builder: Any, vector: Any) -> Any:
    return builder.extract_element(vector, ir.Constant(_INT, 0))


def _multiply_add(builder: Any) -> Any:
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    return cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32")


def _pointer(builder: Any, address: Any, index: Any, size: int, of: Any) -> Any:
    """A pointer to number `index` of `size` bytes from an address on."""
    return builder.inttoptr(builder.add(address, builder.mul(index, _long(size))), of.as_pointer())


def _long(number: int) -> Any:
    return ir.Constant(_LONG, number)
