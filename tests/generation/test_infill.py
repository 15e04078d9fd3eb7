"""Prompts of a place in a file."""

import json
from typing import Any

import pytest

from tezgah import Tokenizer
from tezgah.errors import InputError
from tezgah.generation.generate import make_settings
from tezgah.generation.infill import place_prompt
from tezgah.tokenizer.artefact import Artefact
from tezgah.tokenizer.infill import infill_tokens

NAMES = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")  # in the order of their ids


@pytest.fixture(scope="module")
def plain() -> Tokenizer:
    return Tokenizer.train(["a"], algorithm="bytes")


@pytest.fixture(scope="module")
def infilling(plain: Tokenizer) -> Tokenizer:
    file: dict[str, Any] = json.loads(plain.json)
    flags = {"special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    file["added_tokens"] += [{"id": 257 + place, "content": name, **flags} for place, name in enumerate(NAMES)]
    return Tokenizer(Artefact(json.dumps(file), plain.separator))


def test_the_tokens_are_found_by_their_names(plain, infilling):
    assert infill_tokens(plain) is None
    assert infill_tokens(infilling) == (257, 259, 258)


def test_what_follows_is_read_between_its_tokens(history, infilling):
    prompt, is_infilled = place_prompt(history(260, 64), infilling, "ab", "cd", make_settings({}))
    ab, cd = (infilling.encode(text).tolist() for text in ("ab", "cd"))
    assert is_infilled and list(prompt.ids) == [257, *ab, 259, *cd, 258]


def test_without_the_tokens_what_stands_before_is_the_prompt(history, plain):
    prompt, is_infilled = place_prompt(history(257, 64), plain, "ab", "cd", make_settings({"max_length": 9}))
    assert not is_infilled and list(prompt.ids) == plain.encode("ab").tolist()
    assert prompt.max_new_tokens == 7
    with pytest.raises(InputError, match="nothing stands before the place"):
        place_prompt(history(257, 64), plain, "", "cd", make_settings({}))


@pytest.mark.parametrize(("before", "after"), [(500, 500), (500, 3), (3, 500), (20, 0), (0, 20), (500, 0)])
def test_what_stands_near_is_read_where_not_everything_fits(history, infilling, plain, before, after):
    prefix, suffix = "ab" * before, "cd" * after
    settings = make_settings({"max_new_tokens": 24})
    prompt, _ = place_prompt(history(260, 64), infilling, prefix, suffix, settings)
    ids = list(prompt.ids)
    cut, middle = ids.index(259), ids.index(258)
    assert len(ids) <= 64 - 24 and (ids[0], middle) == (257, len(ids) - 1)
    assert prefix.endswith(infilling.decode(ids[1:cut])) and suffix.startswith(infilling.decode(ids[cut + 1 : middle]))
    assert len(ids) == min(40, 2 * before + 2 * after + 3)
    if before >= 40 and after >= 40:
        assert middle - cut - 1 == 9  # a quarter of what is read
    if before:
        (alone, _) = place_prompt(history(257, 64), plain, prefix, suffix, settings)
        assert list(alone.ids) == plain.encode(prefix).tolist()[-40:]


@pytest.mark.parametrize(("before", "after"), [(38, 0), (0, 38), (20, 18)])
def test_what_does_not_fit_is_refused_where_asked(history, infilling, plain, before, after):
    model, settings = history(260, 64), make_settings({"max_new_tokens": 24, "overlong": "refuse"})
    with pytest.raises(InputError, match="38 tokens are to be read, and 37 fit"):
        place_prompt(model, infilling, "a" * before, "b" * after, settings)
    fits, _ = place_prompt(model, infilling, "a" * max(before - 1, 0), "b" * min(after, 37), settings)
    assert len(fits.ids) == 40
    with pytest.raises(InputError, match="41 tokens are to be read, and 40 fit"):
        place_prompt(history(257, 64), plain, "a" * 41, "b", settings)
    assert len(place_prompt(history(257, 64), plain, "a" * 40, "b" * 90, settings)[0].ids) == 40
