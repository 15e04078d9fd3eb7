"""What numba cannot say of itself: products of 16 numbers at once, and a barrier between threads, as LLVM code.

Every sum is made in one order, whatever the number of rows beside it and whatever the machine's vectors hold: 16
partial sums, added pairwise at the end. So a row comes out the same to the bit in any batch. Arrays are handed over
as addresses, because the weights of a model are many arrays of one kind: `kind` is an empty array of their type
(float32; uint16 for the bits of bfloat16; int8).
"""

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
) -> Any:
    """Dot products of `outputs` rows of weights with `rows` rows of float32, each `length` long, into `out`.

    Strides are in bytes; outputs of one row lie side by side. `outputs` and `rows` are literals.
    """
    item, n_outputs, n_rows = kind.dtype, outputs.literal_value, rows.literal_value
    signature = types.void(kind, outputs, rows, *[types.int64] * 7)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        weights, weights_stride, x, x_stride, length, out, out_stride = arguments[3:]
        multiply_add = _multiply_add(builder)
        weight_rows = [builder.add(weights, builder.mul(weights_stride, _long(o))) for o in range(n_outputs)]
        x_rows = [builder.add(x, builder.mul(x_stride, _long(r))) for r in range(n_rows)]
        ahead = builder.mul(weights_stride, _long(n_outputs))  # bytes to the rows that the next tile reads
        with _Loop(builder, length, LANES, n_outputs * n_rows) as loop:
            held = [_load(builder, item, row, loop.index) for row in weight_rows]
            for row in weight_rows:
                _prefetch(builder, builder.add(row, ahead), loop.index, item)
            for r, row in enumerate(x_rows):
                numbers = _load(builder, types.float32, row, loop.index)
                for o, weight in enumerate(held):
                    place = r * n_outputs + o
                    loop.sums[place] = builder.call(multiply_add, [weight, numbers, loop.sums[place]])
        for r in range(n_rows):
            for o in range(n_outputs):
                total = _total(builder, loop.sums[r * n_outputs + o])
                to = builder.add(out, builder.add(builder.mul(out_stride, _long(r)), _long(4 * o)))
                builder.store(total, builder.inttoptr(to, _FLOAT.as_pointer()))
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
            store = builder.store(loop.sums[place], _pointer(builder, out, _long(place * LANES), 4, _VECTOR))
            store.align = 4
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def arrive(context: Any, counter: Any) -> Any:
    """Count one more thread as arrived at the address `counter` of an int64."""
    signature = types.void(types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], _LONG.as_pointer())
        builder.atomic_rmw("add", pointer, _long(1), "seq_cst")
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


class _Loop:
    """A loop of LLVM code from 0 up to an end, at least once, with vectors that are summed in it."""

    def __init__(self, builder: Any, end: Any, step: int, n_sums: int) -> None:
        self._builder, self._end, self._step = builder, end, step
        before, self._body = builder.block, builder.append_basic_block("loop")
        self._after = builder.append_basic_block("after")
        builder.branch(self._body)
        builder.position_at_end(self._body)
        self.index = builder.phi(_LONG)
        self.index.add_incoming(_long(0), before)
        self._begun = [builder.phi(_VECTOR) for _ in range(n_sums)]
        for begun in self._begun:
            begun.add_incoming(ir.Constant(_VECTOR, [0.0] * LANES), before)
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


def _prefetch(builder: Any, row: Any, at: Any, item: Any) -> None:
    """Ask for what lies at number `at` of a row that is read soon."""
    kind = ir.FunctionType(ir.VoidType(), [_BYTE_POINTER, _INT, _INT, _INT])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    pointer = _pointer(builder, row, at, item.bitwidth // 8, ir.IntType(8))
    builder.call(function, [pointer, ir.Constant(_INT, 0), ir.Constant(_INT, 2), ir.Constant(_INT, 1)])


def _total(builder: Any, vector: Any) -> Any:
    """The sum of 16 numbers, halves added to one another until one is left."""
    width = LANES
    while width > 1:
        width //= 2
        of = ir.VectorType(_INT, width)
        low = builder.shuffle_vector(vector, vector, ir.Constant(of, list(range(width))))
        high = builder.shuffle_vector(vector, vector, ir.Constant(of, list(range(width, 2 * width))))
        vector = builder.fadd(low, high)
    return builder.extract_element(vector, ir.Constant(_INT, 0))


def _multiply_add(builder: Any) -> Any:
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    return cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32")


def _pointer(builder: Any, address: Any, index: Any, size: int, of: Any) -> Any:
    """A pointer to number `index` of `size` bytes from an address on."""
    return builder.inttoptr(builder.add(address, builder.mul(index, _long(size))), of.as_pointer())


def _long(number: int) -> Any:
    return ir.Constant(_LONG, number)
