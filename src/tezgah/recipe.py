"""A recipe: one TOML file whose tables are the stages of a run.

The types of the rooms are the schema: an unknown name, a wrong type, a number that cannot be, two
budgets or none are refused in one line. Relative paths in a recipe, `[corpus] source`,
`[tokenizer] path` and `[model] from`, start from the folder where the command is given, not from the recipe's.
"""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from tezgah.corpus.settings import CorpusSettings
from tezgah.errors import InputError
from tezgah.evaluation.settings import EvaluateSettings
from tezgah.fields import Field, check, fields_of, parse, suggestion
from tezgah.models.settings import ModelSettings
from tezgah.models.sizing import AUTO, SHAPING, is_chosen
from tezgah.recipe_checks import BESIDE_FROM, BUDGETS, SHARES, check_together, shape_of_table
from tezgah.settings import Settings
from tezgah.tokenizer.settings import TokenizerSettings
from tezgah.tokens.settings import MaskingSettings, TokensSettings
from tezgah.training.settings import TrainTable

RULED = ("max_epochs", "learning_rate", "muon_learning_rate", "weight_decay")  # of [train]; left open, rules tell them
CHOSEN_SHAPE = ("n_layers", "width", "n_heads")  # of [model], where size = "auto"


class Recipe(Settings, frozen=True):
    """What a run does, stage by stage."""

    corpus: CorpusSettings = CorpusSettings()
    tokenizer: TokenizerSettings = TokenizerSettings()
    tokens: TokensSettings = TokensSettings()
    model: ModelSettings = ModelSettings()
    masking: MaskingSettings = MaskingSettings()
    train: TrainTable = TrainTable()
    evaluate: EvaluateSettings = EvaluateSettings()


TABLES: dict[str, type[Settings]] = {info.name: info.type for info in msgspec.structs.fields(Recipe)}


def recipe_fields() -> dict[str, Field]:
    """Every field of a recipe by its key, `train.steps`, in the order of the tables."""
    return {field.key: field for table, settings in TABLES.items() for field in fields_of(settings, table)}


def load_recipe(path: Path, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe file; `overrides` are fields by key, as values or as the text of a flag.

    A budget among the overrides replaces the file's, and so do weights or a temperature of the sources.
    """
    return make_recipe(_read(path), overrides, name=str(path))


def make_recipe(tables: Mapping[str, Any], overrides: Mapping[str, Any] | None = None, name: str = "recipe") -> Recipe:
    """A recipe from its tables as plain dictionaries; `name` opens the line of an error.

    >>> make_recipe({"train": {"steps": 10}}, {"train.minutes": "2.5"}).train.minutes
    2.5
    """
    values = _checked_tables(tables, name)
    chosen = _checked_overrides(overrides or {})
    if any(f"train.{budget}" in chosen for budget in BUDGETS):
        for budget in BUDGETS:
            values["train"].pop(budget, None)
    _let_give_way(values["model"], chosen)
    if any(chosen.get(f"corpus.{each}") is not None for each in SHARES):
        for each in SHARES:
            values["corpus"].pop(each, None)
    for key, value in chosen.items():
        table, field = key.split(".")
        values[table][field] = value
    check_together(values, name)
    if values["model"].get("objective") == "mlm":
        values["tokenizer"].setdefault("mask", True)
    if values["model"].get("from"):
        values["model"].setdefault("context_length", None)  # the folder's
    else:
        values["model"]["shape"] = shape_of_table(values["model"])  # written down, whatever becomes the usual one
    return msgspec.convert(values, Recipe)


def make_table(table: str, given: Mapping[str, Any], name: str) -> Any:
    """The settings of one table; `name` opens the line of an error."""
    return msgspec.convert(_checked_table(table, given, name), TABLES[table])


def dump_recipe(recipe: Recipe) -> str:
    """A recipe as TOML, every field that is set; it loads back equal."""
    return dump_tables(recipe_tables(recipe))


def dump_tables(tables: Mapping[str, Any]) -> str:
    """The tables of a recipe as TOML."""
    import tomli_w

    return tomli_w.dumps(tables)


def recipe_tables(recipe: Recipe) -> dict[str, dict[str, Any]]:
    """A recipe as plain dictionaries, table by table; fields that are unset, or come from a folder, are left out."""
    tables = msgspec.json.decode(msgspec.json.encode(recipe))  # tuples become lists, as TOML and JSON read them
    if recipe.model.from_:
        tables["model"] = {name: tables["model"][name] for name in BESIDE_FROM}
        if recipe.model.objective == "causal":
            del tables["model"]["objective"]  # the usual one
        if not recipe.tokenizer.path:
            tables["tokenizer"] = {"path": ""}
    return {table: {name: v for name, v in fields.items() if v is not None} for table, fields in tables.items()}


def open_fields(recipe: Recipe) -> set[str]:
    """The keys of what a recipe leaves to be chosen before training begins.

    >>> sorted(open_fields(make_recipe({"train": {"steps": 1, "batch_size": 4, "learning_rate": 1e-3}})))
    ['train.max_epochs', 'train.muon_learning_rate', 'train.weight_decay']
    """
    train = recipe.train
    found = {f"train.{name}" for name in RULED if getattr(train, name) is None}
    if train.batch_size in (None, AUTO):
        found.add("train.batch_size")
        if not train.micro_batch_size:
            found.add("train.micro_batch_size")
    return found | ({f"model.{name}" for name in CHOSEN_SHAPE} if recipe.model.size == AUTO else set())


def filled(recipe: Recipe, chosen: Mapping[str, Any]) -> Recipe:
    """The recipe with what it leaves open as it was `chosen`, by key; what it states stays."""
    values = {key: value for key, value in chosen.items() if key in open_fields(recipe)}
    if not values:
        return recipe
    tables = recipe_tables(recipe)
    for key, value in values.items():
        table, field = key.split(".")
        tables[table][field] = value
        if table == "model":
            tables["model"].pop("size", None)
    return make_recipe(tables)


def by_key(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The fields of a recipe's tables by key.

    >>> by_key({"train": {"steps": 10}})
    {'train.steps': 10}
    """
    return {f"{table}.{name}": value for table, fields in tables.items() for name, value in fields.items()}


def differing(recipes: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The fields that are not the same in all of some recipes' tables: key → the recipe's name → its value or None.

    >>> differing({"a": {"train": {"steps": 10, "seed": 1}}, "b": {"train": {"minutes": 2.0, "seed": 1}}})
    {'train.steps': {'a': 10, 'b': None}, 'train.minutes': {'a': None, 'b': 2.0}}
    """
    fields = {
        name: by_key({table: values for table, values in tables.items() if isinstance(values, Mapping)})
        for name, tables in recipes.items()
    }
    met = {key for each in fields.values() for key in each}
    found = {}
    for key in (*(key for key in recipe_fields() if key in met), *sorted(met - recipe_fields().keys())):
        values = {name: each.get(key) for name, each in fields.items()}
        if any(value != next(iter(values.values())) for value in values.values()):
            found[key] = values
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such recipe. `tezgah new DIR` writes one to start from.") from None
    except IsADirectoryError:
        raise InputError(f"{path}: a folder, not a recipe. Name the .toml file in it.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). Name a recipe file that you may read.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error.reason}, byte {error.start:,}). Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not valid TOML: {error}.") from None
    except RecursionError:
        raise InputError(f"{path}: a list in it is nested too deeply. No field takes such a list.") from None


def _checked_tables(tables: Mapping[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """Every table of a recipe with the values given, each checked against its field."""
    values: dict[str, dict[str, Any]] = {table: {} for table in TABLES}
    for table, given in tables.items():
        if table not in TABLES:
            raise InputError(f"{name}: [{table}] is not a table of a recipe.{_near_table(table)}")
        if not isinstance(given, Mapping):
            raise InputError(f"{name}: {table} is a table of a recipe: write [{table}] on a line of its own.")
        values[table] = _checked_table(table, given, name)
    return values


def _checked_table(table: str, given: Mapping[str, Any], name: str) -> dict[str, Any]:
    known = {field.name: field for field in fields_of(TABLES[table], table)}
    values = {}
    for field, value in given.items():
        if field not in known:
            raise InputError(f"{name}: [{table}] has no field {field}.{_near_field(field, known)}")
        values[field] = check(known[field], value, f"{name}: [{table}] {field}")
    return values


def _checked_overrides(overrides: Mapping[str, Any]) -> dict[str, Any]:
    known = recipe_fields()
    chosen = {}
    for given, value in overrides.items():
        key = given.replace("-", "_")
        if key not in known:
            raise InputError(f"--{given}: no such field.{suggestion(key, known)}")
        if isinstance(value, str) and any("\ud800" <= sign <= "\udfff" for sign in value):
            raise InputError(f"--{key} must be UTF-8 text, as a recipe is, not {value!r}. Name the folder it is in.")
        read = parse if isinstance(value, str) else check
        chosen[key] = read(known[key], value, f"--{key}")
    return chosen


def _let_give_way(model: dict[str, Any], overrides: Mapping[str, Any]) -> None:
    """Of a file's `[model]`, drop a size that is to be chosen where the overrides state numbers, and the other way."""
    stated = [name for name in SHAPING if overrides.get(f"model.{name}") is not None]
    if stated and "model.size" not in overrides and is_chosen(model.get("size", "")):
        del model["size"]
    if is_chosen(overrides.get("model.size") or ""):
        for name in SHAPING:
            model.pop(name, None)


def _near_table(table: str) -> str:
    """A suggestion for a table that does not exist, or for a field that stands outside its table."""
    return suggestion(table, TABLES) or _home(table) or f" The tables are {', '.join(TABLES)}."


def _near_field(name: str, known: Iterable[str]) -> str:
    """A suggestion for a field that does not exist: the same in another table, or one near in name."""
    return _home(name) or suggestion(name, known)


def _home(name: str) -> str:
    homes = [field.table for field in recipe_fields().values() if field.name == name]
    return f" {name} belongs in [{homes[0]}]." if homes else ""
