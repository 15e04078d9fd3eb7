"""A model as a Hugging Face folder: config.json, model.safetensors, generation_config.json."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from tezgah.console import say
from tezgah.errors import InputError
from tezgah.files import write_json
from tezgah.models.config import ModelConfig
from tezgah.models.config_file import FORMAT, parse_config, read_family
from tezgah.models.families import FAMILIES
from tezgah.models.family import Family
from tezgah.models.labels import label_fields
from tezgah.models.mapping import Entry, Joined, Plain
from tezgah.models.tensor_file import write_tensors
from tezgah.models.weights import FRACTIONS, WeightFiles, listed

VOCABULARY = ("embedding.weight", "head.weight", "masked_head.scores.weight", "masked_head.bias")  # a row for each id
HEADS = ("lm_head.weight", "cls.predictions.decoder.weight", "decoder.weight")
OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}  # of BERT's first release


def save_model(model: Any, folder: Path, separator_id: int | None = None) -> None:
    """Write `model` into `folder`, so that `transformers` opens it with equal logits.

    `separator_id` is the id that begins and ends a document. Tied tensors are written once, all in the
    precision they have.
    """
    parameters = {name: tensor.detach() for name, tensor in model.named_parameters()}
    save_parameters(model.config, folder, separator_id, parameters, parameters.__getitem__)


def save_parameters(
    config: ModelConfig,
    folder: Path,
    separator_id: int | None,
    shapes: Mapping[str, Tensor],
    parameter: Callable[[str], Tensor],
) -> str:
    """The same for parameters that `parameter` gives by name when they are written; `shapes` tells shapes and types.

    Returns the SHA-256 of `model.safetensors`.
    """
    family = FAMILIES[config.family]
    ids = {} if separator_id is None else {"bos_token_id": separator_id, "eos_token_id": separator_id}
    stated = msgspec.to_builtins(family.fields_of(config))
    fields = {
        "architectures": [family.architecture_of(config)],
        "model_type": family.model_type,
        "tezgah_format": FORMAT,
        "dtype": str(shapes["embedding.weight"].dtype).removeprefix("torch."),
        **dict.fromkeys(family.unset),
        **ids,
        **{name: value for name, value in stated.items() if value is not None},
        **label_fields(config),
    }
    is_headless = fields["architectures"] == [family.headless]
    entries = {
        entry.theirs.removeprefix(family.prefix) if is_headless else entry.theirs: entry
        for entry in family.key_map(config)
    }
    metas = {name: tensor.to("meta") for name, tensor in shapes.items()}
    hashed = write_tensors(
        folder / "model.safetensors",
        {name: entry.to_disk(metas) for name, entry in entries.items()},
        lambda name: entries[name].to_disk(_Given(parameter, shapes)),
        {"format": "pt"},
    )
    if ids:
        write_json(folder / "generation_config.json", ids)
    write_json(folder / "config.json", fields)
    return hashed


class _Given(Mapping[str, Tensor]):
    """Parameters that are made when they are asked for."""

    def __init__(self, parameter: Callable[[str], Tensor], names: Iterable[str]) -> None:
        self._parameter, self._names = parameter, tuple(names)

    def __getitem__(self, name: str) -> Tensor:
        return self._parameter(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def load_model(folder: Path, dtype: torch.dtype = torch.float32, vocab_size: int | None = None) -> Any:
    """Open a folder that `save_model` or `transformers` wrote, ready to evaluate, its parameters as `dtype`.

    Weights are read where they lie, so they are in memory once, and transposed ones are views: the files must not be
    written over in place meanwhile. With a `vocab_size` the embedding, and the head, have so many rows: new ones
    are the mean of the old. Raises InputError for a missing or damaged file, or a model that is not known, before any
    memory is taken.
    """
    files, family, config = _looked_at(folder)
    with torch.device("meta"):
        model: Any = family.build(config)
    entries = _matched(files, family, family.key_map(config), dict(model.named_parameters()))
    sizes = {name: len(parameter) for name, parameter in model.named_parameters()}
    entries.sort(key=lambda pair: not isinstance(pair[0], Joined))  # first those whose parts are copied
    for entry, name in entries:
        if not isinstance(entry, Joined):
            files.let_go()
        for ours, tensor in _parameters(files, entry, name, sizes).items():
            _place(model, ours, tensor.to(dtype))
    model.stack.make_tables()
    if vocab_size is not None and vocab_size != config.vocab_size:
        model = resized(model, vocab_size)
    return model.eval()


def read_config(folder: Path) -> ModelConfig:
    """The configuration that a folder's `config.json` states."""
    family, fields = read_family(folder / "config.json")
    return parse_config(folder / "config.json", family, fields)


def load_weights(model: Any, folder: Path, fill: Callable[[Tensor, Tensor], None]) -> None:
    """Bring the weights in `folder` into `model`, every tensor checked for name and shape first.

    `fill` is given each parameter, and what the file holds for it.
    """
    files, parameters = WeightFiles(folder), dict(model.named_parameters())
    family = FAMILIES[model.config.family]
    sizes = {name: len(parameter) for name, parameter in parameters.items()}
    metas = {name: torch.empty(tensor.shape, dtype=tensor.dtype, device="meta") for name, tensor in parameters.items()}
    for entry, name in _matched(files, family, family.key_map(model.config), metas):
        for ours, tensor in _parameters(files, entry, name, sizes).items():
            fill(parameters[ours], tensor)


def resized(model: Any, vocab_size: int) -> Any:
    """The model with `vocab_size` rows in its embedding and head: the first ones kept, new ones their mean."""
    for name in set(VOCABULARY) & {name for name, _ in model.named_parameters()}:
        old = model.get_parameter(name).detach()
        mean = old.float().mean(0, keepdim=True).to(old.dtype)
        more = mean.expand(max(0, vocab_size - len(old)), *old.shape[1:])
        _place(model, name, torch.cat([old[:vocab_size], more]))
    mean = "; new ones are the mean of the old" if vocab_size > model.config.vocab_size else ""
    say(f"vocabulary: {model.config.vocab_size:,} rows made {vocab_size:,}{mean}")
    model.config = dataclasses.replace(model.config, vocab_size=vocab_size)
    return model


def _looked_at(folder: Path) -> tuple[WeightFiles, Family, ModelConfig]:
    family, fields = read_family(folder / "config.json")
    files = WeightFiles(folder)
    config = parse_config(folder / "config.json", family, fields, tuple(files.shapes))
    if config.tied and _has_another_head(files, family, config):  # as transformers sees it
        config = dataclasses.replace(config, tied=False)
    return files, family, config


def _has_another_head(files: WeightFiles, family: Family, config: ModelConfig) -> bool:
    """Whether the files hold a head's matrix that is not the embedding's."""
    theirs = next(entry.theirs for entry in family.key_map(config) if entry == Plain(entry.theirs, "embedding.weight"))
    table = next((name for name in (theirs, theirs.removeprefix(family.prefix)) if name in files.shapes), None)
    head = next((name for name in HEADS if name in files.shapes), None)
    if head is None or table is None or files.shapes[head] != files.shapes[table]:
        return False
    return not torch.equal(files.tensor(head), files.tensor(table))


def _parameters(files: WeightFiles, entry: Entry, name: str, sizes: Mapping[str, int]) -> dict[str, Tensor]:
    """The parameters that a tensor of the files holds."""
    read = files.passing_tensor if isinstance(entry, Joined) else files.tensor
    try:
        return entry.from_disk(read(name), sizes)
    except ValueError as error:
        raise InputError(f"{files.path}: {error}. Take the field out of config.json.") from None


def _matched(
    files: WeightFiles, family: Family, entries: list[Entry], parameters: Mapping[str, Tensor]
) -> list[tuple[Entry, str]]:
    """Each entry with its tensor's name in the files. Raises InputError where names or shapes are others."""
    names = {_modern(name): name for name in files.shapes}
    bare = not any(name.startswith(family.prefix) for name in names)
    matched = [(entry, entry.theirs.removeprefix(family.prefix) if bare else entry.theirs) for entry in entries]
    expected = {name for _, name in matched}
    missing = expected - set(names)
    if bare and missing == {"lm_head.weight"}:
        raise InputError(
            f"{files.path}: is of a model without a head (lm_head.weight), and config.json ties none to the embedding. "
            f"Save it from {family.architectures[0]}."
        )
    if missing:
        raise InputError(f"{files.path}: lacks {listed(missing)}. Restore the file from its source.")
    known = re.compile("|".join(f"({re.escape(family.prefix)})?({pattern})" for pattern in family.surplus))
    if surplus := [name for name in set(names) - expected if not known.fullmatch(name)]:
        raise InputError(
            f"{files.path}: holds {listed(surplus)}, which a {family.model_type} of this config.json has not. "
            "The two files are not of one model."
        )
    for entry, name in matched:
        needed, found = tuple(entry.to_disk(parameters).shape), files.shapes[names[name]]
        if needed != found:
            raise InputError(
                f"{files.path}: {name} gives {found} where config.json says {needed}. "
                "The two files are not of one model."
            )
        if files.dtypes[names[name]] not in FRACTIONS:
            raise InputError(
                f"{files.path}: {name} is of type {files.dtypes[names[name]]}, which is none of {listed(FRACTIONS)}. "
                "Restore the file."
            )
    return [(entry, names[name]) for entry, name in matched]


def _modern(name: str) -> str:
    for old, new in OLD_NAMES.items():
        name = name.removesuffix(old) + new if name.endswith(old) else name
    return name


def _place(model: nn.Module, name: str, tensor: Tensor) -> None:
    """Make `tensor` the parameter of this name."""
    owner, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(owner), leaf, nn.Parameter(tensor))
