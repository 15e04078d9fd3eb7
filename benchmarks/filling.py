"""Sentences with two masks filled per second: ours in batches beside `transformers`' fill-mask pipeline.

    python benchmarks/filling.py MODEL --sentences FILE

Two words of each sentence become [MASK]. The pipeline is called for one sentence after another, as its users do, and
with batch_size=32; it fills each mask from the sentence with both masks in it. So does ours in the order "all" with one
sweep; in the others the second token is chosen with the first in its place, which takes two looks. All take turns in
one process, every second round in reverse. Where they look at the same they must find the same tokens.
"""

import argparse
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measuring
import numpy as np

from tezgah.api import find_model, load
from tezgah.console import say
from tezgah.errors import InputError
from tezgah.generation.fill import fill_texts
from tezgah.generation.orders import Order

WORD = re.compile(r"[^\W\d_]+")
ORDERS: dict[str, tuple[Order, int]] = {"all, one sweep": ("all", 1), "certain": ("certain", 1), "left": ("left", 1)}
PIPELINES = {"pipeline, one at a time": 0, "pipeline, batch_size=32": 32}  # 0 calls it for each
LOOP, ONE_LOOK = next(iter(PIPELINES)), next(iter(ORDERS))
FRAME = 8  # tokens of room for what stands around a sentence

Filled = list[tuple[tuple[int, float], ...]]  # of each sentence the ids and scores of both masks


def masked_sentences(file: Path, count: int, fits: Callable[[str], bool], seed: int) -> list[str]:
    """`count` sentences of a file, each with two of its words replaced by [MASK].

    Raises InputError where the file has fewer that are long enough and fit.
    """
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    chance, found = np.random.default_rng(seed), []
    for number in chance.permutation(len(lines)):
        words = list(WORD.finditer(lines[number]))
        if len(words) < 4 or not fits(lines[number]):
            continue
        first, second = sorted(chance.choice(len(words), 2, replace=False))
        found.append(masked(lines[number], words[first], words[second]))
        if len(found) == count:
            return found
    raise InputError(f"{file}: has {len(found):,} sentences of four words or more that fit, not {count:,}.")


def masked(line: str, first: re.Match[str], second: re.Match[str]) -> str:
    """
    >>> words = list(WORD.finditer("Dün gece geç geldi."))
    >>> masked("Dün gece geç geldi.", words[1], words[3])
    'Dün [MASK] geç [MASK].'
    """
    return f"{line[: first.start()]}[MASK]{line[first.end() : second.start()]}[MASK]{line[second.end() :]}"


def contestants(folder: Path, sentences: list[str]) -> dict[str, Callable[[], Filled]]:
    """Each fills all sentences; the pipelines' answers are two lists of candidates a sentence."""
    from transformers import pipeline

    model, tokenizer = load(folder)
    if tokenizer is None:
        raise InputError(f"{folder}: has no tokenizer. Give a run, or a folder with one.")
    theirs: Any = pipeline("fill-mask", model=str(folder), device="cpu")

    def ours(order: Order, sweeps: int) -> Filled:
        texts = fill_texts(model, tokenizer, sentences, n=1, order=order, sweeps=sweeps)  # type: ignore[arg-type]
        return [tuple((ids[0], each[0].score) for ids in each[0].ids) for each in texts]

    def piped(batch_size: int) -> Filled:
        answers = theirs(sentences, batch_size=batch_size) if batch_size else [theirs(text) for text in sentences]
        return [tuple((mask[0]["token"], mask[0]["score"]) for mask in answer) for answer in answers]

    made: dict[str, Callable[[], Filled]] = {}
    for name, (order, sweeps) in ORDERS.items():
        made[name] = lambda order=order, sweeps=sweeps: ours(order, sweeps)  # type: ignore[misc]
    for name, size in PIPELINES.items():
        made[name] = lambda size=size: piped(size)  # type: ignore[misc]
    return made


def measure(named: dict[str, Callable[[], Filled]], rounds: int) -> tuple[dict[str, list[float]], dict[str, Filled]]:
    """Seconds of every contestant in every round, and what it filled in."""
    seconds: dict[str, list[float]] = {name: [] for name in named}
    filled: dict[str, Filled] = {}
    for number in range(rounds):
        for name in list(named) if number % 2 == 0 else list(reversed(named)):
            started = time.perf_counter()
            filled[name] = named[name]()
            seconds[name].append(time.perf_counter() - started)
            say(f"round {number + 1} of {rounds}: {name}, {seconds[name][-1]:.2f} s")
    return seconds, filled


def agreement(filled: dict[str, Filled]) -> dict[str, float]:
    """Shares of the sentences where ours chose as the pipeline did, of choices that rest on the same."""
    theirs, count = filled[LOOP], len(filled[LOOP])
    surest = [max(range(2), key=lambda mask: each[mask][1]) for each in theirs]
    same = {
        "both tokens, all at once": (each == [token for token, _ in own] for each, own in _both(filled, ONE_LOOK)),
        "the surer token, most certain first": (
            each[mask] == own[mask][0] for (each, own), mask in zip(_both(filled, "certain"), surest, strict=True)
        ),
        "the left token, from left to right": (each[0] == own[0][0] for each, own in _both(filled, "left")),
    }
    return {name: sum(found) / count for name, found in same.items()}


def _both(filled: dict[str, Filled], name: str) -> list[tuple[list[int], tuple[tuple[int, float], ...]]]:
    """The pipeline's tokens of each sentence, and what a contestant of ours filled in."""
    return [([token for token, _ in each], own) for each, own in zip(filled[LOOP], filled[name], strict=True)]


def tabulate(seconds: dict[str, list[float]], count: int) -> str:
    """A row for each: sentences a second, and how many times as many as each pipeline, round by round."""
    rows = []
    for name, own in seconds.items():
        ratios = [
            measuring.spread([b / a for a, b in zip(own, seconds[pipeline], strict=True)]).text(2)
            for pipeline in PIPELINES
        ]
        title = f"tezgah, {name}" if name in ORDERS else f"transformers, {name}"
        rows.append([title, measuring.spread([count / each for each in own]).text(1), *ratios])
    return measuring.markdown_table(["what", "sentences/s", *(f"÷ {name}" for name in PIPELINES)], rows)


def main() -> None:
    arguments = parser().parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    import torch

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    begun = measuring.conditions()
    folder = find_model(arguments.model)
    model, tokenizer = load(folder)
    assert tokenizer is not None
    room = model.config.context_length - FRAME

    def fits(line: str) -> bool:
        return len(tokenizer.encode(line)) <= room

    sentences = masked_sentences(arguments.sentences, arguments.count, fits, arguments.seed)
    named = contestants(folder, sentences)
    for each in contestants(folder, sentences[:8]).values():  # warms up
        each()
    seconds, filled = measure(named, arguments.rounds)
    shares = agreement(filled)
    agreed = measuring.markdown_table(
        ["as the pipeline, one at a time", "% of the sentences"],
        [[name, f"{100 * share:.1f}"] for name, share in shares.items()],
    )
    notes = (
        f"{len(sentences):,} sentences with two masks, such as “{sentences[0]}”; fp32, {torch.get_num_threads()} "
        f"threads, greedy. Medians of {arguments.rounds} rounds, lowest and highest in brackets; ratios are round by "
        "round."
    )
    result = {"model": str(folder), "sentences": len(sentences), "seconds": seconds, "agreement": shares}
    title = "Filling sentences with two masks, beside transformers' fill-mask pipeline"
    table = f"{tabulate(seconds, len(sentences))}\n\n{agreed}\n\n{notes}"
    measuring.write_results(arguments.results, "filling", title, table, result, begun)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    description = (__doc__ or "").split("\n")[0]
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("model", type=Path, help="run, checkpoint or Hugging Face folder of a masked language model")
    made.add_argument("--sentences", type=Path, required=True, help="a file of sentences, one a line")
    made.add_argument("--count", type=int, default=1_000, help="sentences that are filled")
    made.add_argument("--rounds", type=int, default=3, help="of each contestant")
    made.add_argument("--seed", type=int, default=1, help="of the sentences and the words")
    made.add_argument("--threads", type=int, default=0, help="CPU threads; 0 leaves them to torch")
    made.add_argument("--results", type=Path, default=measuring.RESULTS, help="folder for the results")
    return made


if __name__ == "__main__":
    main()
