"""A state dict of other code as a model of ours: whose names, which sizes, and every tensor in its place."""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tezgah.console import say
from tezgah.errors import InputError
from tezgah.models.checkpoint import OLD_NAMES
from tezgah.models.config import CausalConfig, EncoderConfig, ModelConfig
from tezgah.models.config_file import parse_config, read_family
from tezgah.models.family import HEADS, Family
from tezgah.models.mapping import Entry, Zeros
from tezgah.models.origins import ORIGINS, Interleaved, Origin
from tezgah.models.torch_file import FRACTIONS, State, read_state
from tezgah.models.weights import listed

Held = Entry | Interleaved

WRAPPERS = re.compile(r"^((module|_orig_mod)\.)+|(?<=\.)_orig_mod\.")  # of data parallelism, and of torch.compile
BIASES = "stack.blocks.0.attention.query.bias"
# The model's sizes as checkpoints state them beside the weights; ours are of the stack.
STATED = {"n_head": "n_heads", "n_heads": "n_heads", "n_kv_heads": "n_kv_heads"}
CONTEXT = "max_seq_len"


def import_model(path: Path, like: Path) -> tuple[Any, Origin]:
    """The model in a state dict, and the code that its names are of; `like` is a folder with its `config.json`.

    The folder gives the family, the numbers of heads and what else weights do not show. What they show they decide:
    rows of the vocabulary, context length, layers, biases of queries, keys and values, whether the head is tied.
    Raises InputError where a parameter is left without a tensor, a tensor without a use, or shapes disagree.
    """
    family, fields = read_family(like / "config.json")
    state = read_state(path)
    tensors = _unwrapped(path, state.tensors)
    origin = _origin(path, tensors, family, like)
    stated = parse_config(like / "config.json", family, fields, tuple(tensors))
    naming = _Naming(origin, family, tensors)
    config = _decided(stated, naming, state)
    _check_arguments(path, like, config, state)
    with torch.device("meta"):
        model = family.build(config)
    _fill(path, like, model, naming)
    _tell(path, like, stated, config, origin)
    return model.eval(), origin


class _Naming:
    """The tensors of a file, and what each holds under a configuration."""

    def __init__(self, origin: Origin, family: Family, tensors: Mapping[str, Tensor]) -> None:
        self.origin, self.family, self.tensors = origin, family, tensors
        self.is_bare = origin.names is None and not any(name.startswith(family.prefix) for name in tensors)
        layers = re.compile(rf"{origin.layers}(?P<layer>\d+)\..+")
        self.n_layers = len({match["layer"] for match in map(layers.fullmatch, tensors) if match})

    def entries(self, config: ModelConfig) -> list[Held]:
        """Every tensor that a file of this configuration may hold."""
        if self.origin.names is not None:
            return self.origin.entries(config.n_layers, config.stack.head_dim)
        entries = self.family.key_map(config)
        if not self.is_bare:
            return list(entries)
        return [dataclasses.replace(entry, theirs=entry.theirs.removeprefix(self.family.prefix)) for entry in entries]

    def held(self, config: ModelConfig) -> dict[str, Tensor]:
        """The tensor that each parameter of ours lies in, of those that are there."""
        there = (entry for entry in self.entries(config) if entry.theirs in self.tensors)
        return {ours: self.tensors[entry.theirs] for entry in there for ours in _ours(entry)}

    def is_surplus(self, name: str) -> bool:
        """Whether a tensor is known to be of no use."""
        if self.origin.names is not None:
            return any(re.fullmatch(pattern, name) for pattern in self.origin.surplus)
        prefix = re.escape(self.family.prefix)
        return any(re.fullmatch(f"({prefix})?({pattern})", name) for pattern in self.family.surplus)


def _unwrapped(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without the names of what was wrapped around the model."""
    found: dict[str, Tensor] = {}
    for wrapped, tensor in tensors.items():
        name = WRAPPERS.sub("", wrapped)
        for old, new in OLD_NAMES.items():
            name = re.sub(f"{re.escape(old)}$", new, name)
        if name in found:
            raise InputError(f"{path}: holds two tensors for {name}. Save the weights of one model.")
        found[name] = tensor
    return found


def _origin(path: Path, tensors: Mapping[str, Tensor], family: Family, like: Path) -> Origin:
    """Whose names these are. Raises InputError where nobody's, or of another family than the folder's."""
    origin = next((origin for origin in ORIGINS if _is_of(origin, tensors)), None)
    if origin is None:
        some = ", ".join(list(tensors)[:4])
        known = "; ".join(origin.told for origin in ORIGINS)
        raise InputError(
            f"{path}: the names ({some} …) are of no code this tezgah knows ({known}). Rename the tensors."
        )
    if family.model_type not in origin.families:
        raise InputError(
            f"{path}: has the names of {origin.told}, and {like} is a {family.model_type}. "
            f"Give --like a folder of {' or '.join(origin.families)}."
        )
    return origin


def _is_of(origin: Origin, tensors: Mapping[str, Tensor]) -> bool:
    signs = [tensor for name, tensor in tensors.items() if re.fullmatch(origin.sign, name)]
    if origin.taller is None or not signs or signs[0].ndim != 2:
        return bool(signs)
    return (signs[0].shape[0] > signs[0].shape[1]) == origin.taller


def _decided(stated: ModelConfig, naming: _Naming, state: State) -> ModelConfig:
    """The configuration with what the weights say in place of what the folder says."""
    layered = dataclasses.replace(stated.stack, n_layers=naming.n_layers or stated.n_layers)
    if isinstance(stated, EncoderConfig):
        held = naming.held(dataclasses.replace(stated, stack=layered, tied=False))
        tied = _tied(held, naming, stated) if stated.head == "masked_lm" else stated.tied
        vocab_size, context_length = _sizes(stated, held, state)
        return dataclasses.replace(
            stated, stack=layered, tied=tied, vocab_size=vocab_size, context_length=context_length
        )
    full = dataclasses.replace(layered, qkv_bias=True, output_bias=True)
    held = naming.held(dataclasses.replace(stated, stack=full, tied=False))
    has_biases = BIASES in held
    has_output_bias = has_biases if stated.stack.rope else stated.stack.output_bias  # Llama's go together
    stack = dataclasses.replace(layered, qkv_bias=has_biases, output_bias=has_output_bias)
    tied, (vocab_size, context_length) = _tied(held, naming, stated), _sizes(stated, held, state)
    return dataclasses.replace(stated, stack=stack, tied=tied, vocab_size=vocab_size, context_length=context_length)


def _tied(held: Mapping[str, Tensor], naming: _Naming, stated: ModelConfig) -> bool:
    """Whether the head is the embedding: the same numbers, or no head in a file that is of more than the stack."""
    head = next((held[name] for name in HEADS if name in held), None)
    if head is None:
        return stated.tied if naming.is_bare else True
    table = held.get("embedding.weight")
    return table is not None and (head.data_ptr() == table.data_ptr() or torch.equal(head, table))


def _sizes(stated: ModelConfig, held: Mapping[str, Tensor], state: State) -> tuple[int, int]:
    """The rows of the vocabulary and of positions; where positions have no rows, what the checkpoint says of them."""
    rows = {ours: len(tensor) for ours, tensor in held.items() if tensor.ndim}
    context_length = rows.get("positions.weight", stated.context_length)
    if isinstance(stated, CausalConfig) and not stated.learned_positions:
        context_length = state.arguments.get(CONTEXT, context_length)
    return rows.get("embedding.weight", stated.vocab_size), context_length


def _check_arguments(path: Path, like: Path, config: ModelConfig, state: State) -> None:
    """Refuse a folder that says other numbers of heads than the checkpoint: no shape would show it."""
    for theirs, ours in STATED.items():
        number = state.arguments.get(theirs, getattr(config.stack, ours))
        if number != getattr(config.stack, ours):
            raise InputError(
                f"{path}: says {theirs} {number} where {like / 'config.json'} says {getattr(config.stack, ours)}. "
                "Set it right there, or give another --like."
            )


def _fill(path: Path, like: Path, model: Any, naming: _Naming) -> None:
    """Give every parameter its tensor. Raises InputError unless each has one, and each tensor a use."""
    parameters, tensors = dict(model.named_parameters()), naming.tensors
    used, zeros = _matched(path, like, model.config, set(parameters), naming)
    _check_shapes(path, like, used, parameters, tensors)
    dtype = reduce(torch.promote_types, (tensors[entry.theirs].dtype for entry in used))
    sizes = {name: len(parameter) for name, parameter in parameters.items()}
    placed = {name: torch.zeros(parameters[name].shape, dtype=dtype) for name in zeros}
    for entry in used:
        for ours, tensor in entry.from_disk(tensors[entry.theirs], sizes).items():
            placed[ours] = tensor.detach().to(dtype).contiguous()
    model.load_state_dict(placed, strict=False, assign=True)  # strict would ask for tables that are made, not stored
    model.stack.make_tables()
    if absent := {entry.theirs for entry in naming.entries(model.config) if zeros & set(_ours(entry))}:
        say(f"{path}: has no {_kinds(absent)}; zeros stand there, which compute the same")
    if left := set(tensors) - {entry.theirs for entry in used}:
        say(f"{path}: passed over, for nothing needs them: {_kinds(left)}")


def _matched(
    path: Path, like: Path, config: ModelConfig, parameters: set[str], naming: _Naming
) -> tuple[list[Held], set[str]]:
    """The tensors that are there and hold parameters, and the parameters that are zeros without one."""
    entries = [entry for entry in naming.entries(config) if set(_ours(entry)) <= parameters]
    used = [entry for entry in entries if entry.theirs in naming.tensors]
    filled = [ours for entry in used for ours in _ours(entry)]
    assert len(filled) == len(set(filled)), "an origin names a parameter once"
    zeros = _zeros(parameters - set(filled), filled) if naming.origin.names is not None else set()
    absent = parameters - set(filled) - zeros
    missing = [entry.theirs for entry in entries if absent & set(_ours(entry))]
    left = set(naming.tensors) - {entry.theirs for entry in used}
    surplus = [name for name in left if not naming.is_surplus(name)]
    if missing or surplus:
        said = [f"lacks {listed(missing)}"] if missing else []
        said += [f"holds {listed(surplus)}, which such a model has not"] if surplus else []
        raise InputError(
            f"{path}: {'; '.join(said)}. The names are of {naming.origin.told}, the model as {like} states it: "
            "give --like the folder of the same architecture."
        )
    return used, zeros


def _zeros(absent: Iterable[str], filled: Sequence[str]) -> set[str]:
    """The biases that no layer has: code without them adds nothing there."""
    there = set(map(_kind, filled))
    return {name for name in absent if name.endswith("bias") and _kind(name) not in there}


def _check_shapes(
    path: Path, like: Path, used: Sequence[Held], parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
) -> None:
    for entry in used:
        tensor, needed = tensors[entry.theirs], tuple(entry.to_disk(parameters).shape)
        if tuple(tensor.shape) != needed:
            raise InputError(
                f"{path}: {entry.theirs} has the shape {tuple(tensor.shape)} where a model as {like / 'config.json'} "
                f"states it has {needed}. Set its sizes right there, or give another --like."
            )
        if tensor.dtype not in FRACTIONS:
            raise InputError(f"{path}: {entry.theirs} holds {tensor.dtype} numbers, which are no weights. Save floats.")


def _tell(path: Path, like: Path, stated: ModelConfig, config: ModelConfig, origin: Origin) -> None:
    """Say what the weights decided against the folder, and what they leave to it."""
    before, after = _shown(stated), _shown(config)
    told = [f"{name} {after[name]} (not {before[name]})" for name in after if after[name] != before[name]]
    if told:
        say(f"{path}: decides where {like} says otherwise: {', '.join(told)}")
    stack = config.stack
    left = [
        f"{stack.n_heads} heads",
        f"{stack.n_kv_heads} key-value heads",
        stack.mlp,
        f"norm epsilon {stack.norm_epsilon:g}",
    ]
    left += [f"rope theta {stack.rope.theta:g}"] if stack.rope else []
    say(f"{path}: what weights do not show is as {like} states it: {', '.join(left)}. {origin.note}".rstrip())


def _shown(config: ModelConfig) -> dict[str, str]:
    numbers = {"vocab_size": config.vocab_size, "context_length": config.context_length, "n_layers": config.n_layers}
    truths = {"tied": config.tied, "qkv_bias": config.stack.qkv_bias}
    return {name: f"{number:,}" for name, number in numbers.items()} | {
        name: str(truth).lower() for name, truth in truths.items()
    }


def _ours(entry: Held) -> tuple[str, ...]:
    """The parameters that a tensor holds."""
    if isinstance(entry, Zeros):
        return ()
    return entry.ours if isinstance(entry.ours, tuple) else (entry.ours,)


def _kind(name: str) -> str:
    """A name for all layers: the number left open."""
    return re.sub(r"(?<=\.)\d+(?=\.)", "N", name)


def _kinds(names: Iterable[str]) -> str:
    return listed(set(map(_kind, names)))
