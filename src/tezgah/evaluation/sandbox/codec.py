"""Plain data as JSON, and back: the only thing that passes between a test and a candidate.

No type of the candidate's crosses: what arrives is made anew from numbers and letters, so no
`__eq__` of its own comes along. Depth is capped here and size by the frame that carries it.
JSON knows null, true, false, strings and numbers; everything else is a list whose first item tells
the kind. Integers beyond 64 bits go as hexadecimal, which is linear in their length.
"""

import json
from collections import deque
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from typing import Any

MAX_DEPTH = 100  # of containers in containers
MAX_ITEMS = 1_000_000  # taken from an iterator

Encoded = Any  # what JSON can say

_quoted = json.encoder.encode_basestring_ascii
_CONSTANTS = {None: "null", True: "true", False: "false"}


class NotPlain(Exception):
    """A value that cannot cross, or bytes that are no value."""


def dumps(value: Any, handle: Callable[[Any], int] | None = None) -> str:
    """A value as text. Of a subclass of a plain type only the plain value is told.

    `handle` is asked for a number for what is not plain. Raises NotPlain where there is none.

    >>> dumps((1, [2.5, None], {"a": {3}}))
    '["tuple", 1, ["list", 2.5, null], ["dict", "a", ["set", 3]]]'
    """
    return _encoded(value, 0, handle)


def loads(text: str | bytes, handled: Callable[[int], Any] | None = None) -> Any:
    """The value of a text that nobody has to trust; `handled` gives what a handle's number stands for.

    Raises NotPlain for anything `dumps` would not have written.

    >>> loads('["tuple", 1, ["float", "nan"]]')
    (1, nan)
    """
    try:
        letters = text if isinstance(text, str) else text.decode()
        data, end = _DECODER.raw_decode(letters)
        if end != len(letters):
            raise NotPlain("data, and something after it")
        return _decoded(data, 0, handled)
    except NotPlain:
        raise
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise NotPlain(f"no plain data ({type(error).__name__})") from None


def _encoded(value: Any, depth: int, handle: Callable[[Any], int] | None) -> str:
    if value is None or value is True or value is False:
        return _CONSTANTS[value]
    kind = type(value)
    if kind is str:
        return _quoted(value)
    if (kind is int and -(2**63) <= value < 2**63) or (kind is float and value - value == 0):
        return repr(value)
    if depth >= MAX_DEPTH:
        raise NotPlain(f"nested more than {MAX_DEPTH} deep")
    if (known := _EXACTLY.get(kind) or _kind_of(value)) is not None:
        name, parts = known
        return ", ".join([f'["{name}"', *[_encoded(part, depth + 1, handle) for part in parts(value)]]) + "]"
    if handle is not None:
        return f'["handle", {handle(value)}]'
    raise NotPlain(f"a value of type {kind.__name__} is no plain data")


def _kind_of(value: Any) -> tuple[str, Callable[[Any], Any]] | None:
    """The kind of an instance of a subclass, and how its parts are taken."""
    return next(((name, parts) for base, name, parts in _KINDS if isinstance(value, base)), None)


def _decoded(data: Encoded, depth: int, handled: Callable[[int], Any] | None) -> Any:
    if data is None or isinstance(data, (bool, int, float, str)):
        return data
    if depth >= MAX_DEPTH or not isinstance(data, list) or not data:
        raise NotPlain(f"nested more than {MAX_DEPTH} deep" if depth >= MAX_DEPTH else "no plain data")
    name, *items = data
    if name == "handle" and handled is not None and len(items) == 1 and type(items[0]) is int:
        return handled(items[0])
    if not isinstance(name, str) or name not in _MAKERS:
        raise NotPlain("data of no known kind")
    return _MAKERS[name](_decoded(item, depth + 1, handled) for item in items)


def _refused(constant: str) -> Any:
    raise NotPlain(f"a bare {constant}")


_DECODER = json.JSONDecoder(parse_constant=_refused)  # to make one costs as much as to read a short message


def _iterated(value: Iterator[Any]) -> Iterator[Any]:
    yield from islice(value, MAX_ITEMS)
    if next(value, _refused) is not _refused:
        raise NotPlain(f"an iterator of more than {MAX_ITEMS:,} items")


def _pairs(value: dict[Any, Any]) -> Iterator[Any]:
    for key, item in dict.items(value):
        yield key
        yield item


def _of_pairs(items: Iterator[Any]) -> dict[Any, Any]:
    return dict(zip(items, items, strict=True))


def _one_of(base: type[Any], made: Callable[[Any], Any], part: type[Any] = str) -> Callable[[Iterator[Any]], Any]:
    """Makes a `base` of exactly one part of type `part`."""

    def make(items: Iterator[Any]) -> Any:
        (item,) = items
        if type(item) is not part:
            raise NotPlain(f"a {base.__name__} of {type(item).__name__}")
        return made(item)

    return make


def _integers(made: Callable[..., Any], count: int) -> Callable[[Iterator[Any]], Any]:
    def make(items: Iterator[Any]) -> Any:
        parts = list(items)
        if len(parts) != count or any(type(part) is not int for part in parts):
            raise NotPlain("numbers that are none")
        return made(*parts)

    return make


def _complex(items: Iterator[Any]) -> complex:
    real, imaginary = items
    return complex(float(real), float(imaginary))


# The kinds in the order in which they are asked for: a subclass stands before its base. A part is taken
# by the base's own method where there is one, so that a subclass does not say what it is.
_KINDS: list[tuple[type[Any], str, Callable[[Any], Any]]] = [
    (int, "int", lambda value: [hex(int.__index__(value))]),
    (float, "float", lambda value: [float.__repr__(value)]),
    (str, "str", lambda value: [str.__str__(value)[:]]),
    (complex, "complex", lambda value: [value.real, value.imag]),
    (list, "list", list.__iter__),
    (tuple, "tuple", tuple.__iter__),
    (dict, "dict", _pairs),
    (set, "set", set.__iter__),
    (frozenset, "frozenset", frozenset.__iter__),
    (deque, "deque", deque.__iter__),
    (bytes, "bytes", lambda value: [bytes.hex(value)]),
    (bytearray, "bytearray", lambda value: [bytearray.hex(value)]),
    (range, "range", lambda value: [value.start, value.stop, value.step]),
    (Decimal, "Decimal", lambda value: [Decimal.__str__(value)]),
    (Fraction, "Fraction", lambda value: [value.numerator, value.denominator]),
    (datetime, "datetime", lambda value: [datetime.isoformat(value)]),
    (date, "date", lambda value: [date.isoformat(value)]),
    (time, "time", lambda value: [time.isoformat(value)]),
    (timedelta, "timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
    (type({}.keys()), "keys", list),
    (type({}.values()), "values", list),
    (type({}.items()), "items", list),
    (Iterator, "iterator", _iterated),  # a generator too
]
_EXACTLY = {base: (name, parts) for base, name, parts in _KINDS}
_MAKERS: dict[str, Callable[[Iterator[Any]], Any]] = {
    "int": _one_of(int, lambda text: int(text, 16)),
    "float": _one_of(float, float),
    "str": _one_of(str, lambda text: text),
    "complex": _complex,
    "list": list,
    "tuple": tuple,
    "dict": _of_pairs,
    "set": set,
    "frozenset": frozenset,
    "deque": deque,
    "bytes": _one_of(bytes, bytes.fromhex),
    "bytearray": _one_of(bytearray, bytearray.fromhex),
    "range": _integers(range, 3),
    "Decimal": _one_of(Decimal, Decimal),
    "Fraction": _integers(Fraction, 2),
    "datetime": _one_of(datetime, datetime.fromisoformat),
    "date": _one_of(date, date.fromisoformat),
    "time": _one_of(time, time.fromisoformat),
    "timedelta": _integers(timedelta, 3),
    "keys": lambda items: dict.fromkeys(items).keys(),
    "values": lambda items: dict(enumerate(items)).values(),
    "items": lambda items: dict(items).items(),
    "iterator": lambda items: iter(list(items)),
}
