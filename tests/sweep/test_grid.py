"""A grid is read as the flags of the recipe are, and each of its points has a folder's name of its own."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tezgah.errors import InputError
from tezgah.fields import suggestion
from tezgah.recipe import make_recipe, recipe_fields
from tezgah.sweep.grid import point_name, points, read_grid

REFUSED = {
    "": "`sweep` needs --over FIELD=VALUE,VALUE…, as in --over train.learning_rate=1e-3,3e-3.",
    "train.lr=1e-3": "--over train.lr: no such field. Did you mean train.learning_rate?",
    "learning_rate=1e-3": "--over learning_rate: no such field. Did you mean train.learning_rate?",
    "model.learning_rate=1e-3": "--over model.learning_rate: no such field. Did you mean train.learning_rate?",
    "train.lerning_rate=1e-3": "--over train.lerning_rate: no such field. Did you mean train.learning_rate?",
    "1e-3,3e-3": "--over 1e-3,3e-3: no such field.",
    "train.seed=1 train.seed=2": "--over train.seed is given twice. Give all its values at once: --over train.seed=",
    "train.seed=1,two": '--over train.seed must be a whole number, 0 or more, not "two".',
    "train.learning_rate=1e-3,-1": "--over train.learning_rate must be a number above 0, not -1",
    "train.learning_rate=nan": "--over train.learning_rate must be a number above 0, not nan.",
    "train.optimizer=moun": '--over train.optimizer must be muon, adamw or sgd, not "moun". Did you mean muon?',
    "train.seed=": "--over train.seed: there is no value to try. Write --over train.seed=VALUE,VALUE…",
    "train.seed": "--over train.seed: there is no value to try.",
    "train.seed=[]": "--over train.seed: there is no value to try.",
    "train.seed=1,,2": "--over train.seed: a value is empty in 1,,2. Take the comma out; ",
    "train.seed=[1,2": "--over train.seed: [1,2 is not a list. Write one as ",
    "train.learning_rate=1e-3,0.001": "--over train.learning_rate: 0.001 is given twice. Leave one of them out.",
    f"train.seed={','.join(map(str, range(15)))} model.width={','.join(map(str, range(1, 15)))}": (
        "--over: the grid has 210 points, and 200 are the most. Leave values out."
    ),
}


@pytest.mark.parametrize(("flags", "message"), REFUSED.items(), ids=[each[:40] for each in REFUSED])
def test_what_is_no_grid_is_said_in_one_line(flags: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        read_grid(flags.split())
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_values_are_those_that_the_fields_flags_would_give() -> None:
    texts = {
        "train.learning_rate": "1e-3, 3e-3",
        "train.seed": "1e3",
        "train.compile": "true,false",
        "model.n_heads": "none,2",
        "model.shape": "gpt2",
        "corpus.source": "a.txt,b.txt",
        "corpus.keep_columns": "name",
    }
    grid = read_grid([f"{key}={text}" for key, text in texts.items()])
    assert grid == {
        "train.learning_rate": [0.001, 0.003],
        "train.seed": [1000],
        "train.compile": [True, False],
        "model.n_heads": [None, 2],
        "model.shape": ["gpt2"],
        "corpus.source": ["a.txt", "b.txt"],
        "corpus.keep_columns": [["name"]],
    }
    flags = {key: text.split(",")[0] for key, text in texts.items()}
    first = points(grid)[0]
    assert make_recipe({"train": {"steps": 1}}, first) == make_recipe({"train": {"steps": 1}}, flags)


def test_a_list_holds_values_with_commas_and_brackets() -> None:
    assert read_grid(['corpus.source=["a,b", ["c", "d"]]']) == {"corpus.source": ["a,b", ["c", "d"]]}
    assert read_grid(["corpus.source=[a-z]*.txt"]) == {"corpus.source": ["[a-z]*.txt"]}
    assert read_grid(['corpus.text_column=["", "text"]']) == {"corpus.text_column": ["", "text"]}


def test_every_point_is_there_once() -> None:
    grid = read_grid(["train.learning_rate=1,2,3", "model.width=8,16"])
    made = points(grid)
    assert len(made) == 6
    assert {tuple(point.values()) for point in made} == {(rate, width) for rate in (1, 2, 3) for width in (8, 16)}


@given(st.text(), st.sampled_from(sorted(recipe_fields())), st.booleans())
def test_any_text_is_a_grid_or_refused(text: str, key: str, is_named: bool) -> None:
    try:
        grid = read_grid([f"{key}={text}" if is_named else text])
    except InputError:
        return
    assert list(map(bool, grid.values())) == [True]


VALUES = st.lists(st.text(min_size=0, max_size=300), min_size=2, max_size=2, unique=True)


@given(VALUES, st.floats(min_value=1e-9, allow_infinity=False))
def test_points_have_names_of_their_own_that_a_disk_takes(texts: list[str], rate: float) -> None:
    names = [point_name({"corpus.text_column": text, "train.learning_rate": rate}) for text in texts]
    assert names[0] != names[1]
    for name in names:
        assert name.startswith("text_column=")
        assert len(name.encode()) <= 200
        assert not set(name) & {"/", "\0", " ", "\n"}


def test_the_name_of_a_plain_point_is_what_was_typed() -> None:
    assert point_name({"train.learning_rate": 3e-5, "model.tied": True}) == "learning_rate=3e-05,tied=true"
    assert point_name({"model.n_heads": None}) == "n_heads=none"
    readable = set(string.ascii_letters + string.digits + "_.-+=,")
    assert set(point_name({"model.shape": "openai-gpt", "train.steps": 10})) <= readable


def test_the_suggestion_for_initials_is_needed() -> None:
    """Nearness in letters alone would lead astray."""
    assert suggestion("train.lr", recipe_fields()) != " Did you mean train.learning_rate?"
