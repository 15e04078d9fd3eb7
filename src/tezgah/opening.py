"""Opening the MODEL that a verb is given: itself, its tokenizer, and the run that it belongs to."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tezgah.errors import InputError

if TYPE_CHECKING:
    from tezgah.recipe import Recipe
    from tezgah.tokenizer.tokenizer import Tokenizer

MODEL = "MODEL is a run folder, a checkpoint folder, or a Hugging Face folder of a known family."


def opened(path: str, or_fills: bool = False, dtype: str = "float32") -> "tuple[Any, Tokenizer]":
    """A MODEL that goes on from texts, `or_fills` masks, on the best device here, and its tokenizer."""
    from tezgah.generation.kinds import check_causal, fills_masks
    from tezgah.stations import evaluation_place

    def check(model: Any, path: str) -> None:
        if not (or_fills and fills_masks(model)):
            check_causal(model, path)

    model, tokenizer = with_tokenizer(path, check, dtype)
    check_rows(path, model, tokenizer)
    return model.to(evaluation_place(recipe_of(path)).device), tokenizer


def with_tokenizer(
    path: str, check: Callable[[Any, str], None] | None = None, dtype: str = "float32"
) -> "tuple[Any, Tokenizer]":
    """A MODEL and the tokenizer that must be beside it; `check` refuses other kinds, given the path."""
    from tezgah import api

    model, tokenizer = api.load(path, dtype)
    if check is not None:
        check(model, path)
    if tokenizer is None:
        raise InputError(f"{path}: has no tokenizer beside its model. Add a tokenizer.json.")
    return model, tokenizer


def check_rows(path: str, model: Any, tokenizer: "Tokenizer") -> None:
    """Raise InputError for a tokenizer with ids that the model beside it has no row for."""
    if tokenizer.vocab_size > model.config.vocab_size:
        raise InputError(
            f"{path}: its tokenizer has {tokenizer.vocab_size:,} ids, its model {model.config.vocab_size:,} rows. Give "
            "it the tokenizer that it was trained with."
        )


def home_of(path: str) -> Path:
    """The run that a MODEL belongs to, which it must."""
    home = run_of(path)
    if home is None:
        raise InputError(f"{path}: belongs to no run, so it has no held-out text. Name files to evaluate it on.")
    return home


def run_of(path: str) -> Path | None:
    """The run that a run folder, its `model/` or one of its checkpoints belongs to."""
    here = Path(path).resolve()
    folders = (here, here.parent, here.parent.parent)
    return next((folder for folder in folders if (folder / "tokens" / "index.json").is_file()), None)


def recipe_of(path: str) -> "Recipe":
    """The recipe of a MODEL's run, the defaults where it belongs to none."""
    from tezgah.recipe import Recipe, load_recipe

    home = run_of(path)
    return load_recipe(home / "recipe.toml") if home and (home / "recipe.toml").is_file() else Recipe()
