"""From a folder of files to a loadable, measured language model, with one recipe.

Importing this package imports neither torch nor numpy; its names are found when they are used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tezgah.api import classify, evaluate, finetune, load, new_model, run, train
    from tezgah.comparing import compare
    from tezgah.errors import InputError
    from tezgah.generation.fill import fill
    from tezgah.generation.generate import generate, stream
    from tezgah.generation.likelihood import likelihoods
    from tezgah.generation.scores import score_texts
    from tezgah.tokenizer.tokenizer import Tokenizer

__version__ = "0.1.0"
__all__ = [
    "InputError",
    "Tokenizer",
    "classify",
    "compare",
    "evaluate",
    "fill",
    "finetune",
    "generate",
    "likelihoods",
    "load",
    "new_model",
    "run",
    "score_texts",
    "stream",
    "train",
]

_HOMES = {
    "InputError": "tezgah.errors",
    "Tokenizer": "tezgah.tokenizer.tokenizer",
    "compare": "tezgah.comparing",
    "fill": "tezgah.generation.fill",
    "generate": "tezgah.generation.generate",
    "likelihoods": "tezgah.generation.likelihood",
    "score_texts": "tezgah.generation.scores",
    "stream": "tezgah.generation.generate",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'tezgah' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "tezgah.api")), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
