"""A recipe is read as it is written, and what cannot be meant is refused in one line."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tezgah.errors import InputError
from tezgah.fields import Field, fields_of, parse
from tezgah.models.settings import SHAPES
from tezgah.recipe import (
    dump_recipe,
    filled,
    load_recipe,
    make_recipe,
    open_fields,
    recipe_fields,
    recipe_tables,
)
from tezgah.recipe_checks import BESIDE_FROM, BUDGETS
from tezgah.settings import Settings
from tezgah.starter import CHOSEN, starter, write_starter

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.toml"))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def values_of(field: Field) -> st.SearchStrategy[Any]:
    """Any value that a field may hold, drawn from its kinds and limits."""
    strategies: list[st.SearchStrategy[Any]] = []
    for kind in field.kinds:
        if kind.choices:
            strategies.append(st.sampled_from(kind.choices))
        elif kind.plain is bool:
            strategies.append(st.booleans())
        elif kind.plain is int:
            least = kind.above + 1 if kind.above is not None else kind.least or 0
            strategies.append(st.integers(int(least), 2**63 - 1))
        elif kind.plain is float:
            strategies.append(
                st.floats(
                    kind.above if kind.above is not None else kind.least,
                    kind.most if kind.most is not None else kind.below,
                    exclude_min=kind.above is not None,
                    exclude_max=kind.below is not None,
                    allow_nan=False,
                    allow_infinity=False,
                )
            )
        elif kind.plain is tuple:
            item = st.sampled_from(kind.items) if kind.items else TEXT
            strategies.append(st.lists(item, max_size=3).map(tuple))
        elif kind.plain is dict:
            numbers = st.floats(0, exclude_min=True, allow_infinity=False)
            strategies.append(st.dictionaries(st.text("ab/. ", min_size=1), numbers, max_size=3))
        else:
            strategies.append(TEXT)
    return st.one_of(strategies)


@st.composite
def recipes(draw: st.DrawFn) -> Any:
    """A recipe with some fields set and one budget."""
    fields = [field for field in recipe_fields().values() if field.name not in BUDGETS]
    chosen = draw(st.lists(st.sampled_from(fields), unique_by=lambda field: field.key, max_size=12))
    budget = recipe_fields()[f"train.{draw(st.sampled_from(BUDGETS))}"]
    tables: dict[str, dict[str, Any]] = {}
    for field in [*chosen, budget]:
        tables.setdefault(field.table, {})[field.name] = draw(values_of(field))
    if tables.get("model", {}).get("from"):  # beside it no shape, and no tokenizer trained anew
        tables["model"] = {name: tables["model"][name] for name in BESIDE_FROM if name in tables["model"]}
        tables.pop("tokenizer", None)
    elif shape := tables.get("model", {}).get("shape"):  # not every shape learns every objective
        tables["model"]["objective"] = next(each for each in SHAPES if shape in SHAPES[each])
    train = tables["train"]
    if tables.get("model", {}).get("objective") == "mlm":  # prompts and the tokenizer then need a mask
        train.pop("sample_prompts", None)
        tables.get("tokenizer", {}).pop("mask", None)
        tables.get("tokens", {}).pop("fim_rate", None)
    if budget.name == "steps" and train.get("batch_size") == "auto":
        del train["batch_size"]  # there is no telling it from steps
    if train.get("start") == "pairs":
        tables.pop("model", None)  # not every model can begin so
    shares(tables.get("corpus", {}))
    if budget.name == "epochs" or train.get("max_epochs") or tables.get("corpus", {}).get("split") == "position":
        tables.get("tokens", {}).pop("mode", None)  # a stream takes neither
    return make_recipe(tables)


def shares(corpus: dict[str, Any]) -> None:
    """Leave out a temperature beside weights, and sources whose weights they are not."""
    if corpus.pop("weights", None) is not None:
        given = corpus.get("source", "stdlib")
        corpus["weights"] = dict.fromkeys((given,) if isinstance(given, str) else given, 2.5)
        corpus.pop("temperature", None)
    corpus["keep_columns"] = tuple(each for each in corpus.get("keep_columns", ()) if each != "source")


@given(recipes())
@settings(deadline=None)
def test_a_recipe_written_as_toml_loads_back_equal(tmp_path_factory: pytest.TempPathFactory, recipe: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "written.toml"
    path.write_text(dump_recipe(recipe), encoding="utf-8")
    assert load_recipe(path) == recipe


@given(st.data())
@settings(deadline=None)
def test_every_value_can_be_given_as_a_flag(data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(list(recipe_fields().values())))
    value = data.draw(values_of(field))
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, tuple):
        text = "[" + ", ".join(toml_string(part) for part in value) + "]"
    elif isinstance(value, dict):
        text = "{" + ", ".join(f"{toml_string(name)} = {number!r}" for name, number in value.items()) + "}"
    elif isinstance(value, str) and text.startswith("["):
        return  # a text that looks like a list is read as one
    assert parse(field, text, "--flag") == value


def toml_string(text: str) -> str:
    """A TOML basic string, every character by its number."""
    return '"' + "".join(f"\\U{ord(character):08x}" for character in text) + '"'


REFUSED = {
    "[trian]\nsteps = 1": "[trian] is not a table of a recipe. Did you mean train?",
    "[train]\nstpes = 1": "[train] has no field stpes. Did you mean steps?",
    "[train]\ncontext_length = 1": "[train] has no field context_length. context_length belongs in [model].",
    "steps = 3": "[steps] is not a table of a recipe. steps belongs in [train].",
    "train = 3": "train is a table of a recipe: write [train] on a line of its own.",
    "[train": "not valid TOML: Expected ']' at the end of a table declaration (at end of document).",
    f"[corpus]\nsource = {'[' * 9999}": "a list in it is nested too deeply. No field takes such a list.",
    "[train]\nsteps = -1": "[train] steps must be a whole number, 1 or more, not -1.",
    "[train]\nsteps = 0": "[train] steps must be a whole number, 1 or more, not 0.",
    "[train]\nsteps = nan": "[train] steps must be a whole number, 1 or more, not nan.",
    "[train]\nsteps = 2.5": "[train] steps must be a whole number, 1 or more, not 2.5.",
    "[train]\nsteps = true": "[train] steps must be a whole number, 1 or more, not true.",
    '[train]\nsteps = "4"': '[train] steps must be a whole number, 1 or more, not "4".',
    "[train]\nsteps = 9223372036854775808": "[train] steps must be a whole number, 1 or more, not 9223372036854775808.",
    "[train]\nminutes = nan": "[train] minutes must be a number above 0, not nan.",
    "[train]\nminutes = inf": "[train] minutes must be a number above 0, not inf.",
    "[train]\ndecay_ratio = 1.5": "[train] decay_ratio must be a number from 0 to 1, not 1.5.",
    "[train]\nbeta1 = 1.0": "[train] beta1 must be a number from 0 to below 1, not 1.0.",
    "[train]\nbeta2 = 1.0": "[train] beta2 must be a number from 0 to below 1, not 1.0.",
    "[train]\nmomentum = 1": "[train] momentum must be a number from 0 to below 1, not 1.",
    "[model]\nrope_theta = 0": "[model] rope_theta must be a whole number, 1 or more, not 0.",
    '[train]\noptimizer = "adam"': '[train] optimizer must be muon, adamw or sgd, not "adam". Did you mean adamw?',
    "[corpus]\nsource = 3": "[corpus] source must be text or a list of texts, not 3.",
    '[corpus]\nkeep_columns = ["a", 4]': '[corpus] keep_columns must be a list of texts, not ["a", 4].',
    '[train]\ntrackers = ["wandb", "tensorbord"]': (
        '[train] trackers must be a list of tensorboard, wandb or trackio, not ["wandb", "tensorbord"]. '
        "Did you mean tensorboard?"
    ),
    '[model]\nform = "a"': "[model] has no field form. Did you mean from?",
    '[model]\nfrom = ["a"]': '[model] from must be text, not ["a"].',
    '[model]\nfrom = "a"\nwidth = 8\n[train]\nsteps = 1': "[model] width: comes from the folder a. Leave it out.",
    '[model]\nobjective = "mlm"\nshape = "gpt2"\n[train]\nsteps = 1': (
        '[model] shape "gpt2" cannot learn objective "mlm". Choose modernbert or bert, or set objective = "causal".'
    ),
    '[model]\nobjective = "mml"': '[model] objective must be causal or mlm, not "mml". Did you mean mlm?',
    '[model]\nfrom = "a"\nshape = "gpt2"\ntied = true\ncontext_length = 8\n[train]\nsteps = 1': (
        "[model] shape, tied: come from the folder a. Leave them out."
    ),
    '[model]\nfrom = "a"\n[tokenizer]\nvocab_size = 300\n[train]\nsteps = 1': (
        "[tokenizer] vocab_size: beside [model] from no tokenizer is trained, its ids would not be those that a has "
        "learned. Leave the table out to keep the folder's, or set its path to one extended from that "
        "(`tezgah tokenizer extend`)."
    ),
    "[train]\nsteps = 1\nminutes = 2": "[train] steps = 1 and minutes = 2.0 are 2 budgets at once. Keep one of them.",
    '[tokens]\nmode = "stream"\n[train]\nepochs = 2': (
        '[train] epochs = 2.0: with [tokens] mode = "stream" the sequences of an epoch are counted only while it is '
        "read. Set steps, tokens, minutes or flops."
    ),
    '[corpus]\nsplit = "position"\n[tokens]\nmode = "stream"\n[train]\nsteps = 2': (
        '[corpus] split = "position": with [tokens] mode = "stream" documents are held out as they come, by their '
        'hash. Set it to "hash", or set mode to "stored".'
    ),
    "[corpus]": "[train] has no budget. Set one of steps, tokens, epochs, minutes, flops.",
    '[model]\nsize = "auto"': "[train] has no budget. Set one of steps, tokens, epochs, minutes, flops.",
    '[model]\nsize = "auto"\nn_layers = 4\nwidth = 64\n[train]\nminutes = 1': (
        '[model] size = "auto" chooses n_layers, width. Leave out the size, or the numbers.'
    ),
    '[model]\nsize = "8M"\nhead_dim = 64\n[train]\nsteps = 1': (
        '[model] size = "8M" chooses head_dim. Leave out the size, or the numbers.'
    ),
    '[model]\nsize = "auto"\n[train]\nepochs = 2': (
        '[train] epochs = 2.0: [model] size = "auto" follows from the work to be done, and epochs do not tell it. '
        "Set minutes, tokens or flops."
    ),
    '[model]\nsize = "auto"\n[train]\nsteps = 2': (
        '[train] steps = 2: [model] size = "auto" decides how large a step is. Set minutes, tokens or flops.'
    ),
    '[train]\nsteps = 2\nbatch_size = "auto"': (
        '[train] steps = 2: [train] batch_size = "auto" decides how large a step is. Set minutes, tokens or flops.'
    ),
    '[train]\nsteps = 2\nbatch_size = "atuo"': (
        '[train] batch_size must be a whole number, 1 or more or auto, not "atuo". Did you mean auto?'
    ),
    '[tokens]\nmode = "stream"\n[train]\nsteps = 2\nmax_epochs = 2': (
        '[train] max_epochs = 2.0: with [tokens] mode = "stream" the sequences of an epoch are counted only while it '
        "is read. Leave it out."
    ),
    '[model]\ntied = true\n[train]\nsteps = 2\nstart = "pairs"': (
        '[train] start = "pairs" needs a head of its own and no learned positions. Set [model] shape = "qwen3" or '
        '"llama", without tied = true, or leave start out.'
    ),
    '[model]\nobjective = "mlm"\nshape = "bert"\n[train]\nsteps = 2\nstart = "pairs"': (
        '[train] start = "pairs" needs rotary positions. Set [model] shape = "modernbert", or leave start out.'
    ),
    '[model]\nobjective = "mlm"\n[tokens]\nfim_rate = 0.5\n[train]\nsteps = 2': (
        "[tokens] fim_rate is for models that read from left to right. Leave it out, or set [model] objective = "
        '"causal".'
    ),
    '[model]\nfrom = "a"\n[train]\nsteps = 2\nstart = "pairs"': (
        '[train] start = "pairs" would overwrite the weights of [model] from. Leave one of them out.'
    ),
    '[model]\nfrom = "a"\nsize = "auto"\n[train]\nminutes = 1': "[model] size: comes from the folder a. Leave it out.",
}


@pytest.mark.parametrize(("text", "message"), REFUSED.items(), ids=range(len(REFUSED)))
def test_what_cannot_be_meant_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(InputError) as refusal:
        load_recipe(path)
    assert str(refusal.value) == f"{path}: {message}"


def test_a_recipe_that_is_no_text_is_refused(tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    cases = {
        binary: "not UTF-8",
        tmp_path: "a folder",
        tmp_path / "x": "no such",
        binary / "x.toml": r"cannot be read \(Not a directory\)",
        tmp_path / ("x" * 999): r"cannot be read \(File name too long\)",
    }
    for path, message in cases.items():
        with pytest.raises(InputError, match=message):
            load_recipe(path)


FLAGS: dict[tuple[str, str], Any] = {
    ("train.steps", "1_000"): 1000,
    ("train.steps", "1e3"): 1000,
    ("train.learning-rate", "1e-3"): 0.001,
    ("train.minutes", "2"): 2.0,
    ("train.compile", "False"): False,
    ("corpus.source", "a,b"): "a,b",
    ("corpus.source", "[ab]*.txt"): "[ab]*.txt",
    ("corpus.source", '["a", "b"]'): ("a", "b"),
    ("corpus.keep_columns", "path, license"): ("path", "license"),
    ("train.sample_prompts", "def f(a, b):"): ("def f(a, b):",),
    ("train.sample_prompts", "['def f(', 'class']"): ("def f(", "class"),
    ("train.trackers", "tensorboard, trackio"): ("tensorboard", "trackio"),
    ("model.n_layers", "none"): None,
    ("corpus.weights", "stdlib=3"): {"stdlib": 3.0},
    ("corpus.weights", "{stdlib = 3e-1}"): {"stdlib": 0.3},
    ("corpus.weights", "none"): None,
    ("corpus.temperature", "5"): 5.0,
}


@pytest.mark.parametrize(("flag", "value"), FLAGS.items(), ids=[" ".join(flag) for flag in FLAGS])
def test_a_flag_is_read_by_its_fields_type(flag: tuple[str, str], value: Any) -> None:
    key, text = flag
    recipe = make_recipe({"train": {"steps": 1}, "model": {"n_layers": 3}}, {key: text})
    table, name = key.replace("-", "_").split(".")
    assert getattr(getattr(recipe, table), name) == value


def test_the_objective_tells_the_shape_where_none_is_stated() -> None:
    tables: dict[str, Any] = {"train": {"steps": 1}}
    assert make_recipe(tables).model.shape == "qwen3"
    assert make_recipe(tables, {"model.objective": "mlm"}).model.shape == "modernbert"
    assert make_recipe(tables, {"model.objective": "mlm", "model.shape": "bert"}).model.shape == "bert"


def test_from_leaves_the_shape_to_the_folder(tmp_path: Path) -> None:
    tables = {"model": {"n_layers": 3}, "train": {"steps": 1}}
    told = make_recipe(tables, {"model.from": "runs/a", "model.n_layers": "none"})
    assert (told.model.from_, told.model.context_length) == ("runs/a", None)
    assert recipe_tables(told)["model"] == {"from": "runs/a"}
    assert make_recipe(tables, {"model.from": "none"}) == make_recipe(tables)
    shorter = make_recipe({"train": {"steps": 1}}, {"model.from": "a", "model.context_length": "64"})
    assert recipe_tables(shorter)["model"] == {"from": "a", "context_length": 64}
    (tmp_path / "resolved.toml").write_text(dump_recipe(shorter))
    assert load_recipe(tmp_path / "resolved.toml") == shorter
    ready = make_recipe({"train": {"steps": 1}, "tokenizer": {"path": "t", "vocab_size": 9}}, {"model.from": "a"})
    assert ready.tokenizer.vocab_size == 9  # nothing is trained, so it does not matter


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("train.steps", "-3", "--train.steps must be a whole number, 1 or more, not -3."),
        ("train.steps", "many", '--train.steps must be a whole number, 1 or more, not "many".'),
        ("train.minutes", "nan", "--train.minutes must be a number above 0, not nan."),
        ("train.compile", "yes", '--train.compile must be true or false, not "yes".'),
        ("train.stpes", "4", "--train.stpes: no such field. Did you mean train.steps?"),
        ("train.sample_prompts", "[3]", "--train.sample_prompts must be a list of texts, not [3]."),
        (
            "train.trackers",
            "wanb",
            '--train.trackers must be a list of tensorboard, wandb or trackio, not ["wanb"]. Did you mean wandb?',
        ),
        (
            "corpus.source",
            "caf\udce9",
            "--corpus.source must be UTF-8 text, as a recipe is, not 'caf\\udce9'. Name the folder it is in.",
        ),
    ],
)
def test_a_flag_that_cannot_be_meant_is_refused(key: str, text: str, message: str) -> None:
    with pytest.raises(InputError) as refusal:
        make_recipe({"train": {"steps": 1}}, {key: text})
    assert str(refusal.value) == message


def test_a_budget_given_as_a_flag_replaces_the_recipes() -> None:
    told = make_recipe({"train": {"minutes": 4.5}}, {"train.steps": "120"}).train
    assert (told.steps, told.minutes) == (120, None)
    with pytest.raises(InputError, match="steps = 1 and epochs = 2.0 are 2 budgets"):
        make_recipe({}, {"train.steps": 1, "train.epochs": 2.0})


def test_numbers_given_as_flags_replace_a_size_that_would_be_chosen_and_the_other_way() -> None:
    auto = {"model": {"size": "auto"}, "train": {"minutes": 1.0}}
    told = make_recipe(auto, {"model.n_layers": "3", "model.width": "96", "train.steps": "5"}).model
    assert (told.size, told.n_layers, told.width) == ("", 3, 96)
    back = make_recipe({"model": {"n_layers": 3, "width": 96}, "train": {"minutes": 1.0}}, {"model.size": "auto"}).model
    assert (back.size, back.n_layers, back.width) == ("auto", None, None)
    named = make_recipe({"model": {"size": "small"}, "train": {"steps": 1}}, {"model.n_layers": "3"}).model
    assert (named.size, named.n_layers) == ("small", 3)


def test_what_is_left_open_is_filled_and_what_is_stated_stays() -> None:
    told = make_recipe({"model": {"size": "auto"}, "train": {"minutes": 1.0, "learning_rate": 1e-3}})
    chosen = {"model.n_layers": 3, "model.width": 192, "model.n_heads": 3, "train.batch_size": 4}
    full = filled(told, chosen | {"train.learning_rate": 9.0, "train.weight_decay": 0.5})
    assert (full.model.size, full.model.n_layers, full.train.batch_size) == ("", 3, 4)
    assert (full.train.learning_rate, full.train.weight_decay) == (1e-3, 0.5)
    assert open_fields(full) == {"train.max_epochs", "train.muon_learning_rate"}
    assert filled(full, {"model.n_layers": 9, "train.batch_size": 9}) == full


SHARES = {
    "weights = {a = 1, b = 0}": 'weights: "b" = 0.0 must be above 0. To do without it, take it out of the sources.',
    "weights = {a = 1, b = -2.5}": 'weights: "b" = -2.5 must be above 0. To do without it, take it out of the sources.',
    "weights = {a = 1, bb = 2}": 'weights: "bb" is no source. Did you mean b? The sources are "a", "b".',
    "weights = {a = 1}": 'weights: "b" has no weight. Give it one, or take it out of the sources.',
    "weights = {a = 1, b = 1}\ntemperature = 2": "weights and temperature = 2.0 say two things. Keep one of them.",
    'weights = {a = 1, b = "2"}': "weights must be numbers by name, as in {code = 0.7, prose = 0.3}, not "
    '{a = 1, b = "2"}.',
    "weights = {a = 1, b = inf}": "weights must be numbers by name, as in {code = 0.7, prose = 0.3}, not "
    "{a = 1, b = inf}.",
    "weights = 3": "weights must be numbers by name, as in {code = 0.7, prose = 0.3}, not 3.",
    "temperature = 0.5": "temperature must be a number, 1 or more, not 0.5.",
    "temperature = 0": "temperature must be a number, 1 or more, not 0.",
    "temperature = inf": "temperature must be a number, 1 or more, not inf.",
}


@pytest.mark.parametrize("given", SHARES)
def test_shares_of_sources_that_cannot_be_are_refused(given: str, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(f'[corpus]\nsource = ["a", "b"]\n{given}\n[train]\nsteps = 1\n')
    with pytest.raises(InputError) as refusal:
        load_recipe(path)
    assert str(refusal.value) == f"{path}: [corpus] {SHARES[given]}"


def test_shares_given_as_a_flag_replace_the_recipes() -> None:
    weighted = {"corpus": {"source": ["a", "b"], "weights": {"a": 1, "b": 3}}, "train": {"steps": 1}}
    told = make_recipe(weighted, {"corpus.temperature": "2"}).corpus
    assert (told.weights, told.temperature) == (None, 2.0)
    heated = {**weighted, "corpus": {"source": ["a", "b"], "temperature": 2}}
    told = make_recipe(heated, {"corpus.weights": "a=1,b=1"}).corpus
    assert (told.weights, told.temperature) == ({"a": 1.0, "b": 1.0}, None)
    assert make_recipe(weighted, {"corpus.weights": "none"}).corpus.weights is None
    with pytest.raises(InputError, match=r"--corpus.weights must be numbers by name, .* not \"7,3\"\."):
        make_recipe(weighted, {"corpus.weights": "7,3"})


def test_a_stream_is_not_mixed_by_a_column() -> None:
    tables = {
        "corpus": {"source": "a", "keep_columns": ["source"], "temperature": 2.0},
        "tokens": {"mode": "stream"},
        "train": {"steps": 1},
    }
    with pytest.raises(InputError, match=r'\[corpus\] keep_columns has "source": with \[tokens\] mode = "stream"'):
        make_recipe(tables)
    assert make_recipe({**tables, "tokens": {}}).corpus.temperature == 2


def test_every_field_of_every_table_has_a_description() -> None:
    assert [field.key for field in recipe_fields().values() if not field.description] == []


def test_a_field_is_stated_once() -> None:
    class Narrow(Settings, frozen=True):
        """One field."""

        size: int = 3

    (field,) = fields_of(Narrow, "narrow")
    assert (field.key, field.default, field.words) == ("narrow.size", 3, "a whole number")


def test_the_starter_sets_what_it_says_and_leaves_the_rest_at_the_defaults(tmp_path: Path) -> None:
    path = write_starter(tmp_path / "poems")
    assert path == tmp_path / "poems" / "poems.toml"
    chosen: dict[str, dict[str, Any]] = {}
    for key, value in CHOSEN.items():
        table, name = key.split(".")
        chosen.setdefault(table, {})[name] = value
    assert load_recipe(path) == make_recipe(chosen)


def test_every_default_in_the_starters_comments_is_the_default() -> None:
    lines = starter(Path("x.toml")).splitlines()
    kept = [line.removeprefix("#") for line in lines if not line.startswith("# ") and not line.endswith("=")]
    tables = tomllib.loads("\n".join(kept))
    assert make_recipe(tables) == make_recipe(recipe_tables(make_recipe(tomllib.loads("\n".join(lines)))))
    named = {line.lstrip("#").partition(" ")[0] for line in lines if " =" in line and not line.startswith("# ")}
    assert named == {field.name for field in recipe_fields().values()}


def test_the_starter_never_overwrites(tmp_path: Path) -> None:
    path = write_starter(tmp_path)
    path.write_text("mine")
    with pytest.raises(InputError, match="already there"):
        write_starter(tmp_path)
    assert path.read_text() == "mine"
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="a file, not a folder"):
        write_starter(tmp_path / "file")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_recipes_of_the_house_load(path: Path) -> None:
    load_recipe(path)
