"""Completions of a given form, judged by `re` and `json`."""

import json
import re
from typing import Any

import pytest

from tezgah import Tokenizer, new_model
from tezgah.errors import InputError
from tezgah.generation.completions import complete
from tezgah.generation.generate import generate, make_settings, stream

pytest.importorskip("llguidance")
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 4},
        "count": {"type": "integer", "maximum": 99, "minimum": 0},
    },
    "required": ["name", "count"],
    "additionalProperties": False,
    "x-guidance": {"whitespace_flexible": False},  # else this model writes nothing but spaces
}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["ab ab abc 12 12"], vocab_size=262)


@pytest.fixture
def model(history, tokenizer):
    return history(tokenizer.vocab_size, 128)


@pytest.mark.parametrize("expression", [r"[a-c]{2,5}( [0-9]+){2}", r"(ab|12){1,4}!", r"köy(ü|de)?\."])
@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_a_completion_matches_the_expression(model, tokenizer, expression, temperature):
    settings = make_settings({"regex": expression, "n": 6, "temperature": temperature, "max_new_tokens": 60})
    found = complete(model, tokenizer, ["x", "ab"], settings)
    ended = [each.text for each in found if each.reason == "end"]
    assert ended and all(re.fullmatch(expression, text) for text in ended)
    assert all(each.reason == "length" for each in found if each.text not in ended)


def test_a_completion_is_json_of_the_schema(model, tokenizer):
    settings = make_settings({"json_schema": SCHEMA, "n": 8, "temperature": 1.0, "max_new_tokens": 120, "top_p": 0.9})
    values = [json.loads(each.text) for each in complete(model, tokenizer, ["x"], settings) if each.reason == "end"]
    assert values
    for value in values:
        assert set(value) == {"name", "count"}
        assert isinstance(value["name"], str) and len(value["name"]) <= 4 and 0 <= value["count"] <= 99


def test_rows_with_a_form_do_not_depend_on_those_beside_them_and_are_streamed_the_same(model, tokenizer):
    warm: dict[str, Any] = {"regex": r"[ab]+c[0-9]{3}", "temperature": 1.5, "max_new_tokens": 40}
    eight = generate(model, tokenizer, "x", n=8, **warm)
    assert generate(model, tokenizer, "x", n=3, rows=2, **warm) == eight[:3]
    assert "x" + "".join(stream(model, tokenizer, "x", **warm)) == eight[0]


def test_a_draft_that_knows_of_no_form_keeps_to_it(tokenizer):
    made, small = (new_model(tokenizer.vocab_size, seed, n_layers=1, width=32, n_heads=2) for seed in (1, 2))
    given: dict[str, Any] = {"regex": r"[ab]+c[0-9]{3}", "max_new_tokens": 12}
    with_draft = generate(made, tokenizer, "x", draft=(small, tokenizer), **given)
    assert with_draft == generate(made, tokenizer, "x", **given)
    settings = make_settings({**given, "temperature": 2.0, "n": 8, "max_new_tokens": 40})
    found = complete(made, tokenizer, ["x"], settings, small)
    ended = [each.text for each in found if each.reason == "end"]
    assert ended and all(re.fullmatch(given["regex"], text) for text in ended)
    assert sum(each.guessed for each in found) > 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"regex": "a("}, "regex cannot be read: .*unclosed group"),
        ({"json_schema": {"type": "obj"}}, "json_schema cannot be read: .*Invalid type"),
        ({"json_schema": "{"}, "json_schema cannot be read"),
        ({"regex": "a", "json_schema": "{}"}, "one form"),
        ({"regex": "a", "num_beams": 2}, "neither no_repeat_ngram nor num_beams"),
    ],
)
def test_forms_that_are_none_are_refused_in_one_line(model, tokenizer, settings, said):
    with pytest.raises(InputError, match=said) as refused:
        generate(model, tokenizer, "x", **settings)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("algorithm", "size"), [("characters", 8192), ("wordpiece", 30)])
def test_a_tokenizer_that_the_library_does_not_read_is_named_in_one_line(history, algorithm, size):
    tokenizer = Tokenizer.train(["abc abd xyz abc foo bar\n" * 20], vocab_size=size, algorithm=algorithm)
    with pytest.raises(InputError) as refused:
        generate(history(tokenizer.vocab_size, 64), tokenizer, "a", regex="[ab]{3}")
    assert str(refused.value).startswith("regex: llguidance does not read this model's tokenizer (")
    assert "\n" not in str(refused.value)


def test_without_the_library_the_mend_is_said(model, tokenizer, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "llguidance", None)
    with pytest.raises(InputError, match=r"pip install 'tezgah\[constrained\]'"):
        generate(model, tokenizer, "x", regex="a")
