"""Tokens per second of masked language modelling: our training step beside `transformers`' models of the same shape.

    python benchmarks/masked_step.py [--sentences FILE]

Each contestant is a process of its own (masked_contestants.py) that trains k steps when it is told to and sleeps
otherwise; all begin with the same weights. After a warm-up the rounds begin: each contestant in turn, every second
round in reverse; ratios are of one round. Full sequences are random ids, the same batches with the same masks for all.
With sentences, one a line, ours packs them into full sequences in which none looks at another, and `transformers` reads
a sentence a row, padded to the context or to the longest of the batch; there only tokens of text count.
"""

import argparse
import dataclasses
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import masked_contestants
import measuring
import numpy as np
from companion import Companion
from masked_contestants import CONTESTANTS, Cell

from tezgah.console import say
from tezgah.errors import InputError
from tezgah.models.build import build_config, build_model
from tezgah.models.checkpoint import save_model
from tezgah.models.cost import count_parameters
from tezgah.models.settings import ModelSettings
from tezgah.tokenizer.artefact import parse
from tezgah.tokenizer.mask import frame, mask_token, special_ids
from tezgah.tokenizer.tokenizer import Tokenizer

FULL = ("tezgah", "transformers", "transformers-sparse")
RAGGED = ("tezgah-packed", "transformers-padded", "transformers-longest")
SHAPES = ("modernbert", "bert")
SEED = 1


def write_random(folder: Path, vocab_size: int, documents: int = 400, length: int = 1_023) -> dict[str, Any]:
    """Random ids: documents of `length` behind separators. Returns what a cell says of them."""
    ids = np.random.default_rng(SEED).integers(3, vocab_size, (documents, length + 1))
    ids[:, 0] = 0  # the separator
    np.save(folder / "ids.npy", np.append(ids.reshape(-1), 0))
    np.save(folder / "offsets.npy", np.arange(documents + 1) * (length + 1))
    return {"separator_id": 0, "mask_id": 1, "pad_id": 2, "special": (0, 1, 2), "vocab_size": vocab_size}


def write_sentences(folder: Path, file: Path, vocab_size: int, ready: Path | None) -> dict[str, Any]:
    """The sentences of a file, shuffled, by a tokenizer trained on them or a `ready` one."""
    sentences = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not sentences:
        raise InputError(f"{file}: holds no sentence. Give a file with one a line.")
    tokenizer = Tokenizer.load(ready) if ready else Tokenizer.train(sentences, vocab_size, mask=True)
    order = np.random.default_rng(SEED).permutation(len(sentences))
    separator = np.array([tokenizer.separator_id])
    encoded = [tokenizer.encode(sentences[number]) for number in order]
    parts = [part for ids in encoded for part in (separator, ids)]
    np.save(folder / "ids.npy", np.concatenate([*parts, separator]).astype(np.int64))
    lengths = np.array([len(ids) for ids in encoded])
    np.save(folder / "offsets.npy", np.append(0, (lengths + 1).cumsum()))
    say(f"{len(sentences):,} sentences, {lengths.mean():.1f} tokens on average, {lengths.max()} at most")
    before, after = frame(tokenizer)
    ids = {token.content: token.id for token in parse(tokenizer.json).added_tokens}
    return {
        "separator_id": tokenizer.separator_id,
        "mask_id": mask_token(tokenizer).id,
        "pad_id": ids.get("[PAD]", tokenizer.separator_id),
        "special": tuple(np.flatnonzero(special_ids(tokenizer)).tolist()),
        "vocab_size": tokenizer.vocab_size,
        "before": tuple(before),
        "after": tuple(after),
    }


def write_model(
    folder: Path, arguments: argparse.Namespace, shape: Literal["modernbert", "bert"], context: int, vocab_size: int
) -> int:
    """Random weights as a folder that both sides open; returns how many parameters."""
    settings = ModelSettings(
        objective="mlm",
        shape=shape,
        n_layers=arguments.layers,
        width=arguments.width,
        n_heads=arguments.heads,
        context_length=context,
    )
    config = build_config(settings, vocab_size)
    save_model(build_model(config, SEED), folder)
    return count_parameters(config)


def measure(names: list[str], cell: Cell, arguments: argparse.Namespace) -> dict[str, Any]:
    """Tokens of text per second of every contestant in every round."""
    told = json.dumps(dataclasses.asdict(cell))
    line = [Companion(name, [masked_contestants.__file__, name, told]) for name in names]
    rows: list[dict[str, dict[str, Any]]] = []
    try:
        for each in line:
            say(f"{each.name} warms up")
            each.ask(arguments.warmup_steps)
        for number in range(arguments.rounds):
            row = {each.name: each.ask(arguments.steps) for each in (line if number % 2 == 0 else reversed(line))}
            rows.append(row)
            speeds = ", ".join(f"{name} {speed_of(row[name]):,.0f}" for name in names)
            say(f"round {number + 1} of {arguments.rounds}: {speeds} tokens/s")
    finally:
        for each in line:
            each.close()
    return {
        "tokens_per_second": {name: [speed_of(row[name]) for row in rows] for name in names},
        "share_of_text": {
            name: sum(row[name]["text"] for row in rows) / sum(row[name]["read"] for row in rows) for name in names
        },
        "first_loss": {name: rows[0][name]["first_loss"] for name in names},
    }


def speed_of(answer: dict[str, Any]) -> float:
    """Tokens of text per second."""
    return float(answer["text"] / answer["seconds"])


def tabulate(cells: list[dict[str, Any]]) -> str:
    """A row for each contestant of each cell; ratios are round by round."""
    rows = []
    for cell in cells:
        ours, *_ = speeds = cell["found"]["tokens_per_second"]
        for name, values in speeds.items():
            ratio = measuring.spread([a / b for a, b in zip(speeds[ours], values, strict=True)])
            title = (CONTESTANTS[name].__doc__ or name).split("\n")[0].rstrip(".")
            share = f"{cell['found']['share_of_text'][name]:.0%}"
            loss = f"{cell['found']['first_loss'][name]:.4f}"
            text = measuring.spread(values).text()
            compared = "–" if name == ours else ratio.text(2)
            rows.append([cell["shape"], f"{cell['context']:,}", cell["text"], title, text, share, compared, loss])
    header = ["shape", "context", "text", "contestant", "tokens of text/s", "of what is read"]
    return measuring.markdown_table([*header, "tezgah's ÷ it", "first loss"], rows)


def main() -> None:
    arguments = parser().parse_args()
    begun = measuring.conditions()
    how: dict[str, Any] = {
        "compiled": arguments.compile,
        "threads": arguments.threads,
        "precision": arguments.precision,
    }
    cells = []
    with TemporaryDirectory() as place:
        texts = [("full sequences", FULL, write_random(made(place, "full"), arguments.vocab_size), arguments.contexts)]
        if arguments.sentences:
            folder = made(place, "sentences")
            told = write_sentences(folder, arguments.sentences, arguments.vocab_size, arguments.tokenizer)
            texts.append(("sentences", RAGGED, told, [arguments.longest]))
        if arguments.only_sentences:
            texts = texts[1:]
        for text, known, told, contexts in texts:
            data = Path(place) / ("full" if known is FULL else "sentences")
            for shape in arguments.shapes:
                for context in contexts:
                    model = made(place, f"{shape}-{data.name}-{context}")
                    parameters = write_model(model, arguments, shape, context, told["vocab_size"])
                    rows = max(1, arguments.tokens // context)
                    cell = Cell(model=str(model), data=str(data), context=context, rows=rows, **told, **how)
                    names = [name for name in known if name in arguments.contestants]
                    if shape != "modernbert":
                        names = [name for name in names if name != "transformers-sparse"]
                    say(f"{shape}, context {context:,}, {text}: {parameters:,} parameters")
                    found = measure(names, cell, arguments)
                    stated = {"shape": shape, "context": context, "text": text, "parameters": parameters}
                    cells.append({**stated, "rows": rows, "found": found})
    notes = (
        f"{arguments.layers} layers × {arguments.width}, {arguments.tokens:,} places a step (fewer where padding goes "
        f"to the longest), {arguments.precision}, {'compiled' if arguments.compile else 'uncompiled'}. Medians of "
        f"{arguments.rounds} rounds of {arguments.steps} steps, lowest and highest in brackets; ratios are round by "
        "round. Tokens of text are neither padding nor separators. The first loss is that of the very first step: the "
        "same where the batches are."
    )
    title = "Training a masked language model: tokens/s beside transformers' models of the same shape"
    result = {"cells": cells, "settings": {"steps": arguments.steps, "rounds": arguments.rounds, **how}}
    table = f"{tabulate(cells)}\n\n{notes}"
    measuring.write_results(arguments.results, arguments.name, title, table, result, begun)


def made(place: str, name: str) -> Path:
    """A fresh folder in `place`."""
    folder = Path(place) / name
    folder.mkdir()
    return folder


def parser() -> argparse.ArgumentParser:
    """The command line."""
    description = (__doc__ or "").split("\n")[0]
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    names = ", ".join(CONTESTANTS)
    made.add_argument("--sentences", type=Path, help="a file of sentences, one a line; without it full sequences alone")
    made.add_argument("--tokenizer", type=Path, help="a tokenizer folder for them; without it one is trained on them")
    made.add_argument("--only-sentences", action="store_true", help="leave out the full sequences")
    made.add_argument(
        "--contestants", nargs="+", metavar="NAME", choices=CONTESTANTS, default=list(CONTESTANTS), help=f"of {names}"
    )
    made.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES), help="one or more")
    made.add_argument("--contexts", nargs="+", type=int, default=[128, 512], help="of the full sequences")
    made.add_argument("--longest", type=int, default=128, help="context of the sentences: what they are padded to")
    made.add_argument("--tokens", type=int, default=4_096, help="places of a step: rows × context")
    made.add_argument("--vocab-size", type=int, default=8_192, help="ids")
    made.add_argument("--layers", type=int, default=6, help="blocks of each model")
    made.add_argument("--width", type=int, default=384, help="of each model")
    made.add_argument("--heads", type=int, help="of each model; else width / 64")
    made.add_argument("--rounds", type=int, default=6, help="of each contestant in each cell")
    made.add_argument("--steps", type=int, default=10, help="of a contestant in a round")
    made.add_argument("--warmup-steps", type=int, default=10, help="the first of them compile")
    made.add_argument("--precision", choices=("bf16", "fp32"), default="bf16", help="of products, by autocast")
    made.add_argument("--threads", type=int, default=0, help="CPU threads of each; 0 takes every core")
    made.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True, help="torch.compile, for all")
    made.add_argument("--name", default="masked_step", help="of the results")
    made.add_argument("--results", type=Path, default=measuring.RESULTS, help="folder for the results")
    return made


if __name__ == "__main__":
    main()
