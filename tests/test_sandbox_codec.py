"""Plain data crosses as it is; whatever else arrives is refused, and nothing else can be raised."""

import json
import math
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tezgah.evaluation.sandbox import codec

KEYS: some.SearchStrategy[Any] = some.one_of(
    some.none(), some.booleans(), some.integers(), some.floats(allow_nan=False), some.text(), some.binary()
)
LEAVES: some.SearchStrategy[Any] = some.one_of(
    KEYS,
    some.complex_numbers(allow_nan=False),
    some.decimals(allow_nan=False),
    some.fractions(),
    some.dates(),
    some.timedeltas(),
    some.datetimes().map(lambda moment: moment.replace(fold=0)),
)


def holding(inner: some.SearchStrategy[Any]) -> some.SearchStrategy[Any]:
    return some.one_of(
        some.lists(inner),
        some.tuples(inner, inner),
        some.dictionaries(KEYS, inner),
        some.sets(KEYS),
        some.frozensets(KEYS),
        some.lists(inner).map(deque),
    )


VALUES = some.recursive(LEAVES, holding, max_leaves=20)
JSON = some.recursive(
    some.none()
    | some.booleans()
    | some.integers()
    | some.floats()
    | some.text()
    | some.sampled_from(list(codec._MAKERS)),
    lambda inner: some.lists(inner) | some.tuples(some.sampled_from(list(codec._MAKERS)), inner).map(list),
)


@given(VALUES)
def test_a_value_comes_back_equal_and_of_its_type(value: Any) -> None:
    back = codec.loads(codec.dumps(value))
    assert back == value and spelled(back) == spelled(value)


@given(VALUES)
def test_what_crosses_is_json_as_pythons_own_writes_it(value: Any) -> None:
    text = codec.dumps(value)
    assert json.dumps(json.loads(text), allow_nan=False) == text


@pytest.mark.parametrize("text", ["1 2", '["list"] ', " 1", '["list"]["list"]', "", '"a"'.encode("utf-16"), b'"\xff"'])
def test_a_value_with_anything_around_it_is_refused(text: str | bytes) -> None:
    with pytest.raises(codec.NotPlain):
        codec.loads(text)


def spelled(value: Any) -> Any:
    """A value with the type of every part, however the members of a set are ordered."""
    if isinstance(value, (set, frozenset)):
        return type(value), sorted(repr(spelled(each)) for each in value)
    if isinstance(value, dict):
        return type(value), [(spelled(key), spelled(each)) for key, each in value.items()]
    if isinstance(value, (list, tuple, deque)):
        return type(value), [spelled(each) for each in value]
    return type(value), repr(value)


@given(JSON)
def test_any_json_is_a_plain_value_or_refused(data: Any) -> None:
    try:
        value = codec.loads(json.dumps(data))
    except codec.NotPlain:
        return
    codec.dumps(value)


@given(some.binary())
def test_any_bytes_are_a_plain_value_or_refused(data: bytes) -> None:
    try:
        codec.loads(data)
    except codec.NotPlain:
        return


def test_special_numbers_cross() -> None:
    assert math.isnan(codec.loads(codec.dumps(math.nan)))
    assert codec.loads(codec.dumps([math.inf, -math.inf])) == [math.inf, -math.inf]
    assert math.copysign(1, codec.loads(codec.dumps(-0.0))) == -1
    assert codec.loads(codec.dumps(-(7**9_000))) == -(7**9_000)


def test_views_ranges_and_iterators_cross_as_such() -> None:
    back = codec.loads(codec.dumps([{1: 2}.keys(), {1: 2}.items(), range(2, 9, 3), (n for n in (1, 2)), map(str, [1])]))
    assert back[:3] == [{1}, {(1, 2)}, range(2, 9, 3)]
    assert [list(each) for each in back[3:]] == [[1, 2], ["1"]]
    assert list(codec.loads(codec.dumps({1: 2}.values()))) == [2]


def test_of_a_subclass_only_the_plain_value_crosses() -> None:
    class Sly(int):
        def __eq__(self, other: object) -> bool:
            return True

        def __repr__(self) -> str:
            return "6"

    back = codec.loads(codec.dumps([Sly(3), Counter("aab"), OrderedDict(a=1), defaultdict(list, b=2)]))
    assert [type(each) for each in back] == [int, dict, dict, dict] and back[0] == 3 and back[1] == {"a": 2, "b": 1}


@pytest.mark.parametrize(
    "value", [object(), len, Ellipsis, int, print, json, memoryview(b"")], ids=lambda value: type(value).__name__
)
def test_what_is_no_plain_data_does_not_cross(value: object) -> None:
    with pytest.raises(codec.NotPlain, match="is no plain data"):
        codec.dumps([value])


def test_depth_is_capped_on_both_sides() -> None:
    deep: list[Any] = []
    for _ in range(codec.MAX_DEPTH):
        deep = [deep]
    with pytest.raises(codec.NotPlain, match="deep"):
        codec.dumps(deep)
    for nested in (101, 1_000_000):
        with pytest.raises(codec.NotPlain):
            codec.loads('["list", ' * nested + "1" + "]" * nested)
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(codec.NotPlain, match="deep"):
        codec.dumps(endless)


@pytest.mark.parametrize(
    "text",
    [
        "", "{}", '{"a": 1}', "[]", "NaN", "[1]", "9" * 5_000, '["object"]', '["int"]', '["int", 5]',
        '["int", "0x1", "0x2"]', '["dict", 1]', '["set", ["list"]]', '["dict", ["list"], 1]', '["handle", 0]',
        '["Fraction", 1, 0]', '["Decimal", "x"]', '["bytes", "xx"]', '["range", 0, 1, 0]', '["date", "never"]',
        '["timedelta", 999999999999, 0, 0]',
    ],
)  # fmt: skip
def test_forged_data_is_refused(text: str) -> None:
    with pytest.raises(codec.NotPlain):
        codec.loads(text)


def test_a_handle_crosses_only_where_it_is_asked_for() -> None:
    things: list[object] = []

    def number_of(thing: object) -> int:
        things.append(thing)
        return len(things) - 1

    thing = object()
    text = codec.dumps([thing], number_of)
    assert codec.loads(text, things.__getitem__) == [thing]
    with pytest.raises(codec.NotPlain):
        codec.loads(text)
    with pytest.raises((codec.NotPlain, IndexError)):
        codec.loads('["handle", 7]', things.__getitem__)


def test_dates_and_exact_numbers_cross() -> None:
    values = [date(2026, 1, 2), datetime(2026, 1, 2, 3, 4), time(5, 6), timedelta(7), Decimal("1.10"), Fraction(1, 3)]
    assert codec.loads(codec.dumps(values)) == values
