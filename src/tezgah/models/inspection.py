"""What lies in a model's folder: its parts, from the configuration alone, and its weights, without loading them."""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from tezgah.models.config import CausalConfig, ModelConfig
from tezgah.models.config_file import ignored_fields, parse_config, read_family
from tezgah.models.families import FAMILIES
from tezgah.models.family import Family
from tezgah.models.weights import INDEX, ONE, WeightFiles

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Looked:
    """A folder that was looked at; `files` is None where it has no safetensors files."""

    folder: Path
    family: Family
    config: ModelConfig
    files: WeightFiles | None
    ignored: tuple[str, ...]  # fields of config.json on which nothing here depends


@dataclass(frozen=True)
class Part:
    """A module that has parameters of its own: their shapes, and how many numbers they are."""

    name: str
    shapes: tuple[Shape, ...]
    parameters: int


@dataclass(frozen=True)
class Alike:
    """A part, and how often the model has it; `*` in its name stands for the number of a block."""

    part: Part
    times: int


def look(folder: Path) -> Looked:
    """Read a folder's `config.json`, and the head of its weight files where it has any.

    Raises InputError for a missing or damaged file, or a model that is not known.
    """
    path = folder / "config.json"
    family, fields = read_family(path)
    files = WeightFiles(folder) if any((folder / name).is_file() for name in (ONE, INDEX)) else None
    config = parse_config(path, family, fields, tuple(files.shapes) if files else ())
    return Looked(folder, family, config, files, ignored_fields(family, fields))


def parts(config: ModelConfig) -> tuple[Part, ...]:
    """Every part of a model in the order of its making, without memory for its numbers.

    >>> from tezgah.models.build import build_config
    >>> from tezgah.models.settings import ModelSettings
    >>> parts(build_config(ModelSettings(shape="gpt2", size="small"), vocab_size=50_257))[0]
    Part(name='embedding', shapes=((50257, 768),), parameters=38597376)
    """
    with torch.device("meta"):
        model = FAMILIES[config.family].build(config)
    shapes = {name.removeprefix("stack."): tuple(parameter.shape) for name, parameter in model.named_parameters()}
    owners = {name: _owner(name, shapes) for name in shapes}
    return tuple(
        Part(owner, held, sum(map(math.prod, held)))
        for owner, names in groupby(shapes, key=owners.__getitem__)
        for held in [tuple(shapes[name] for name in names)]
    )


def alike(every: tuple[Part, ...]) -> tuple[Alike, ...]:
    """The same with what blocks have in common told once."""
    times: dict[Part, int] = {}
    for part in every:
        told = Part(starred(part.name), part.shapes, part.parameters)
        times[told] = times.get(told, 0) + 1
    return tuple(Alike(*found) for found in times.items())


def starred(name: str) -> str:
    """A name with the number of its block left open.

    >>> starred("transformer.h.11.ln_1.weight"), starred("wte.weight")
    ('transformer.h.*.ln_1.weight', 'wte.weight')
    """
    return re.sub(r"(?<=\.)\d+(?=\.)", "*", f".{name}", count=1).removeprefix(".")


def in_order(names: Iterable[str]) -> list[str]:
    """Names in order, blocks by their number.

    >>> in_order(["h.10.b", "h.2.b", "a"])
    ['a', 'h.2.b', 'h.10.b']
    """
    return sorted(names, key=lambda name: [part.zfill(9) for part in re.split(r"(\d+)", name)])


def ties(config: ModelConfig) -> bool | None:
    """Whether the matrix that scores ids is the embedding's; None where none does."""
    scores_ids = not config.labels if isinstance(config, CausalConfig) else config.head == "masked_lm"
    return config.tied if scores_ids else None


def config_fields(config: ModelConfig) -> dict[str, Any]:
    """All fields of a configuration under their path: `stack.rope.theta`."""
    return dict(_flat(asdict(config), ""))


def _owner(name: str, shapes: dict[str, Shape]) -> str:
    """The module of a parameter; a parameter that lies beside modules stands for itself."""
    owner, _, _ = name.rpartition(".")
    return owner if f"{owner}.weight" in shapes else name


def _flat(fields: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
