"""What `tezgah inspect` found, as tables to read and as one JSON object."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tezgah.answers import lines, percent, table
from tezgah.models import cost
from tezgah.models.inspection import Alike, Looked, Shape, alike, config_fields, parts, starred, ties
from tezgah.models.weight_statistics import Comparison, Statistics

MOST_ROWS = 20  # of a comparison's tensors, unless all are asked for
PRECISIONS = {"fp32": 4, "bf16": 2}  # bytes of a number
UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


@dataclass(frozen=True)
class Inspected:
    """A MODEL as it was named, what lies there, and how long the texts are that its costs are told for."""

    path: str
    looked: Looked
    statistics: Mapping[str, Statistics]  # of each tensor on disk
    tokenizer: Mapping[str, Any] | None  # its vocab_size and hash
    context_length: int
    batch: int


def value(found: Inspected) -> dict[str, Any]:
    """Everything about one model as one JSON object."""
    config = found.looked.config
    return {
        "model": found.path,
        "folder": str(found.looked.folder),
        "family": config.family,
        "configuration": config_fields(config),
        "ignored_fields": found.looked.ignored,
        "parameters": cost.count_parameters(config),
        "embedding_parameters": cost.embedding_parameters(config),
        "tied": ties(config),
        "context_length": found.context_length,
        "batch": found.batch,
        "flops_per_token": {
            "forward": cost.forward_flops_per_token(config, found.context_length),
            "training": cost.flops_per_token(config, found.context_length),
        },
        "training_bytes": {precision: _training(found, precision) for precision in PRECISIONS},
        "use_bytes": {precision: _use(found, precision) for precision in PRECISIONS},
        "tokenizer": found.tokenizer,
        "architecture": [
            {"name": part.name, "shapes": part.shapes, "parameters": part.parameters} for part in parts(config)
        ],
        "tensors": _tensors(found),
    }


def text(found: Inspected, shows_all: bool) -> str:
    """The same to read."""
    config, stack = found.looked.config, found.looked.config.stack
    said = (
        f"{found.looked.folder}: {config.family}, width {stack.width:,}, blocks {stack.n_layers:,}, "
        f"heads {stack.n_heads:,} × {stack.head_dim:,}, context {config.context_length:,}"
    )
    told = [said, _architecture(found, shows_all), lines(_totals(found)), _memory(found)]
    if found.looked.ignored:
        ignored = f"Fields of config.json on which nothing here depends: {', '.join(found.looked.ignored)}."
        told.append(textwrap.fill(ignored, 100, break_long_words=False, break_on_hyphens=False))
    if found.looked.files is None:
        return "\n\n".join([*told, "No model.safetensors in the folder: these figures are of its config.json alone."])
    return "\n\n".join([*told, _weights(found.statistics, shows_all)])


def comparison_value(first: Inspected, second: Inspected, compared: Comparison | None) -> dict[str, Any]:
    """What differs between two models, as one JSON object; `compared` is None where one has no weights."""
    return {
        "models": [first.path, second.path],
        "parameters": [cost.count_parameters(each.looked.config) for each in (first, second)],
        "configuration": _changed(first, second),
        "tokenizer": {"equal": first.tokenizer == second.tokenizer, "each": [first.tokenizer, second.tokenizer]},
        "tensors": None
        if compared is None
        else {
            "first_only": compared.first_only,
            "second_only": compared.second_only,
            "shapes": compared.reshaped,
            "compared": len(compared.distances),
            "equal": compared.equal,
            "distances": [
                {"name": name, "relative": distance.relative, "cosine": distance.cosine, "equal": distance.equal}
                for name, distance in compared.distances.items()
            ],
        },
    }


def comparison_text(first: Inspected, second: Inspected, compared: Comparison | None, shows_all: bool) -> str:
    """The same to read."""
    names = [f"a: {first.looked.folder}", f"b: {second.looked.folder}"]
    told = ["\n".join(names), _changes(first, second)]
    if compared is None:
        missing = ", ".join(each.path for each in (first, second) if each.looked.files is None)
        return "\n\n".join([*told, f"No model.safetensors in {missing}: there are no weights to compare."])
    for name, alone in (("a", compared.first_only), ("b", compared.second_only)):
        if alone:
            told.append(f"tensors that {name} alone has: {len(alone):,}\n  " + "\n  ".join(_cut(alone, shows_all)))
    if compared.reshaped:
        rows = [(name, shape_text(one), shape_text(other)) for name, (one, other) in compared.reshaped.items()]
        told.append(table(("tensors of other shapes", "a", "b"), rows))
    told.append(_distances(compared, shows_all))
    return "\n\n".join(told)


def size_text(size: float) -> str:
    """Bytes to read, in the largest unit that fits.

    >>> size_text(497_759_232), size_text(12)
    ('498 MB', '12 B')
    """
    unit, name = next((each for each in UNITS if size >= each[0]), (1, "B"))
    amount = size / unit
    return f"{amount:.0f} {name}" if amount >= 99.95 or unit == 1 else f"{amount:.3g} {name}"


def shape_text(shape: Shape) -> str:
    """A shape to read.

    >>> shape_text((50_257, 768))
    '50,257 × 768'
    """
    return " × ".join(f"{size:,}" for size in shape) or "one number"


def _architecture(found: Inspected, shows_all: bool) -> str:
    config = found.looked.config
    every = parts(config)
    rows = [Alike(part, 1) for part in every] if shows_all else alike(every)
    shown = [
        (
            each.part.name,
            ", ".join(map(shape_text, each.part.shapes)),
            f"{each.part.parameters:,}",
            f"{each.times:,}",
            f"{each.times * each.part.parameters:,}",
        )
        for each in rows
    ]
    if ties(config):
        shown.append(("scores: the embedding's", shape_text((config.vocab_size, config.width)), "–", "–", "–"))
    return table(("part", "shapes", "parameters", "times", "in all"), shown)


def _totals(found: Inspected) -> dict[str, Any]:
    config, tokenizer = found.looked.config, found.tokenizer
    tied = {True: "tied to the embedding", False: "a matrix of its own", None: "none over the vocabulary"}
    figures: dict[str, Any] = {
        "parameters": cost.count_parameters(config),
        "of_them_embeddings": cost.embedding_parameters(config),
        "head": tied[ties(config)],
    }
    if tokenizer is not None:
        figures["tokenizer"] = f"{tokenizer['vocab_size']:,} ids, SHA-256 {tokenizer['hash'][:12]}"
    if found.looked.files is not None:
        files = found.looked.files
        types = ", ".join(sorted(set(files.dtypes.values())))
        numbers = sum(each.numbers for each in found.statistics.values())
        figures["on_disk"] = f"{len(files.shapes):,} tensors of {types}, {numbers:,} numbers"
    at = f"in a text of {found.context_length:,} tokens"
    figures["FLOPs_per_token"] = f"{cost.forward_flops_per_token(config, found.context_length):,} forward, {at}"
    figures["in_training"] = f"{cost.flops_per_token(config, found.context_length):,} forward and backward"
    return figures


def _memory(found: Inspected) -> str:
    """What training and use take, fp32 and bf16 side by side."""
    training = {precision: _training(found, precision) for precision in PRECISIONS}
    use = {precision: _use(found, precision) for precision in PRECISIONS}
    names = {
        "weights": "weights",
        "copies": "their copies in bf16",
        "gradients": "gradients",
        "optimizer": "state of AdamW",
        "activations": f"activations of {found.batch:,} × {found.context_length:,} tokens",
        "total": "in all",
        "total_with_muon": "in all with Muon",
    }
    rows = [(label, *(size_text(training[each][name]) for each in PRECISIONS)) for name, label in names.items()]
    first = table(("memory to train", *PRECISIONS), rows)
    names = {"weights": "weights", "cache": f"keys and values of {found.batch:,} × {found.context_length:,} tokens"}
    if not found.looked.config.stack.causal:
        del names["cache"]
    rows = [(label, *(size_text(use[each][name]) for each in PRECISIONS)) for name, label in names.items()]
    return f"{first}\n\n{table(('memory to use', *PRECISIONS), rows)}"


def _training(found: Inspected, precision: str) -> dict[str, int]:
    """Bytes of a training step by what takes them; a fused kernel keeps no attention weights."""
    config, low = found.looked.config, precision == "bf16"
    memory, muon = (
        cost.training_memory(config, found.batch, muon, low, False, found.context_length) for muon in (False, True)
    )
    each = {
        "weights": memory.weights,
        "copies": memory.copies,
        "gradients": memory.gradients,
        "optimizer": memory.optimizer,
        "activations": memory.activations,
    }
    return each | {"total": memory.total, "total_with_muon": muon.total}


def _use(found: Inspected, precision: str) -> dict[str, int]:
    """Bytes of a model that is used, and of its key-value cache where it goes on from a text."""
    config, item = found.looked.config, PRECISIONS[precision]
    weights = item * cost.count_parameters(config)
    cache = found.batch * cost.cache_bytes(config, found.context_length, item) if config.stack.causal else 0
    return {"weights": weights, "cache": cache, "total": weights + cache}


def _tensors(found: Inspected) -> list[dict[str, Any]] | None:
    files = found.looked.files
    if files is None:
        return None
    return [
        {"name": name, "shape": files.shapes[name], "dtype": files.dtypes[name], **_figures(each)}
        for name, each in found.statistics.items()
    ]


def _figures(each: Statistics) -> dict[str, Any]:
    ends = {"mean": each.mean, "deviation": each.deviation, "min": each.least, "max": each.most}
    shares = {"zeros": each.zeros / max(each.numbers, 1), "not_finite": each.numbers - each.finite}
    return ({name: number if each.finite else None for name, number in ends.items()}) | shares


def _weights(statistics: Mapping[str, Statistics], shows_all: bool) -> str:
    """The figures of each tensor, those of all blocks taken together unless all are asked for."""
    together: dict[str, Statistics] = {}
    for name, each in statistics.items():
        told = name if shows_all else starred(name)
        together[told] = together.get(told, Statistics()) + each
    damaged = any(each.numbers > each.finite for each in together.values())
    rows = []
    for name, each in together.items():
        figures = (each.mean, each.deviation, each.least, each.most)
        shown = [f"{number:.2g}" if each.finite else "–" for number in figures]
        more = [f"{each.numbers - each.finite:,}"] if damaged else []
        rows.append((name, *shown, percent(each.zeros / max(each.numbers, 1)), *more))
    head = ("tensor on disk", "mean", "std", "min", "max", "zeros")
    return table((*head, "not finite") if damaged else head, rows)


def _changed(first: Inspected, second: Inspected) -> dict[str, tuple[Any, Any]]:
    """The fields of the configuration that are others, None where one has no such field."""
    ours, theirs = (config_fields(each.looked.config) for each in (first, second))
    return {name: (ours.get(name), theirs.get(name)) for name in ours | theirs if ours.get(name) != theirs.get(name)}


def _changes(first: Inspected, second: Inspected) -> str:
    """Configuration, parameters and tokenizers, those that differ."""
    rows = [(name, *map(str, pair)) for name, pair in _changed(first, second).items()]
    counts = [f"{cost.count_parameters(each.looked.config):,}" for each in (first, second)]
    if counts[0] != counts[1]:
        rows.append(("parameters", *counts))
    said = [] if rows else ["configuration: the same"]
    tokenizers = [first.tokenizer, second.tokenizer]
    if tokenizers[0] == tokenizers[1]:
        said.append(f"tokenizer: {'the same' if tokenizers[0] else 'none in either'}")
    else:
        for name in ("vocab_size", "hash"):
            cells = [str(each[name])[:12] if each else "none" for each in tokenizers]
            rows += [] if cells[0] == cells[1] else [(f"tokenizer {name.replace('_', ' ')}", *cells)]
    return "\n\n".join([*([table(("differs", "a", "b"), rows)] if rows else []), *(["\n".join(said)] if said else [])])


def _distances(compared: Comparison, shows_all: bool) -> str:
    said = f"tensors: {len(compared.distances):,} in both, {compared.equal:,} of them equal"
    far = [(name, each) for name, each in compared.distances.items() if not each.equal]
    rows = [
        (
            name,
            "–" if each.relative is None else f"{each.relative:.4f}",
            "–" if each.cosine is None else f"{each.cosine:.4f}",
        )
        for name, each in (far if shows_all else far[:MOST_ROWS])
    ]
    told = [said, *([table(("tensor", "‖a − b‖ / ‖a‖", "cosine"), rows)] if rows else [])]
    if len(rows) < len(far):
        told.append(f"… and {len(far) - len(rows):,} that are nearer; --all shows them")
    return "\n\n".join(told)


def _cut(names: Sequence[str], shows_all: bool) -> list[str]:
    """Names, those of all blocks as one, and no more than a screen of them, unless all are asked for."""
    names = names if shows_all else [*dict.fromkeys(map(starred, names))]
    left = len(names) - MOST_ROWS
    return [*names] if shows_all or left <= 0 else [*names[:MOST_ROWS], f"… and {left:,} more; --all shows them"]
