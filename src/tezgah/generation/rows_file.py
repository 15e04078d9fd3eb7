"""Completions of many prompts into a JSON Lines file; whoever is stopped goes on from there.

Prompts are completed a block at a time, and a block's rows are written in order when all are there. Every block is
decoded by itself, so whoever begins again at one computes the same numbers, to the bit on the same machine, as
whoever never stopped. Until the last, rows stand in `FILE.part` under a line that tells what they were made from.
"""

import fcntl
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

from tezgah.console import progress
from tezgah.errors import InputError
from tezgah.files import atomic_file, fingerprint, writing_to
from tezgah.generation.completions import Completion, ReadPrompt, completions, read_prompt
from tezgah.generation.prompts import Prompt
from tezgah.generation.scores import Logprobs
from tezgah.generation.settings import GenerationSettings

if TYPE_CHECKING:
    from tezgah.models.causal import CausalLM
    from tezgah.tokenizer.tokenizer import Tokenizer

FORMAT = 1
BLOCK = 4  # times the rows that are decoded at once: fewer would leave rows idle, more would lose more at a stop


def write_rows(
    path: Path,
    model: "CausalLM",
    tokenizer: "Tokenizer",
    prompts: Sequence[Prompt],
    settings: GenerationSettings,
    made_from: Sequence[str],
    draft: "CausalLM | None" = None,
) -> int:
    """Complete all prompts into `path`, and say how many rows were there from an earlier, stopped call.

    `made_from` names the model and the draft, as hashes of their files. Raises InputError where `path` is there
    already, where its `.part` was made from something else, and for a prompt that cannot be read, by its place.
    """
    if path.exists():
        raise InputError(f"{path}: is there already. Name another file, or remove it.")
    read = [_read(model, tokenizer, prompt, settings) for prompt in prompts]
    told = [*made_from, tokenizer.hash, msgspec.to_builtins(settings), [[each.text, each.task_id] for each in prompts]]
    size = max(1, BLOCK * settings.rows // settings.n)  # prompts of a block
    total = len(prompts) * settings.n
    with _opened(path.with_name(path.name + ".part"), fingerprint(told), size * settings.n, total) as (part, done):
        with progress("generate", total, "completions", done) as bar:
            for start in range(done // settings.n, len(prompts), size):
                block = prompts[start : start + size]
                found = []
                for each in completions(model, tokenizer, read[start : start + size], settings, draft):
                    found.append(each)
                    bar.advance(1)
                found.sort(key=lambda each: (each.prompt, each.candidate))
                with writing_to(path):
                    part.write(b"".join(_line(block[each.prompt], start, each, tokenizer) for each in found))
                    part.flush()
        part.seek(0)
        part.readline()  # what the rows were made from
        with atomic_file(path) as file:
            while data := part.read(1 << 20):
                file.write(data)
    path.with_name(path.name + ".part").unlink()
    return done


def row_of(prompt: Prompt, place: int, completion: Completion, tokenizer: "Tokenizer") -> dict[str, Any]:
    """A completion of a prompt as a row of JSON; what does not apply is left out."""
    row: dict[str, Any] = {} if prompt.task_id is None else {"task_id": prompt.task_id}
    return {**row, "index": place, "prompt": prompt.text, **candidate_row(completion, tokenizer)}


def candidate_row(completion: Completion, tokenizer: "Tokenizer") -> dict[str, Any]:
    """The same without its prompt."""
    row: dict[str, Any] = {
        "candidate": completion.candidate,
        "completion": completion.text,
        "reason": completion.reason,
        "tokens": len(completion.ids),
    }
    if completion.score is not None:
        row["score"] = completion.score
    if completion.guessed:
        row |= {"guessed": completion.guessed, "accepted": completion.accepted}
    if completion.logprobs:
        row["logprobs"] = logprob_rows(completion.ids, completion.logprobs, tokenizer)
    return row


def logprob_rows(ids: Sequence[int], logprobs: Sequence[Logprobs], tokenizer: "Tokenizer") -> list[dict[str, Any]]:
    """The log-probability of every token, and of the likeliest in its place, with their texts."""

    def told(token_id: int, logprob: float) -> dict[str, Any]:
        return {"id": token_id, "token": tokenizer.decode([token_id]), "logprob": logprob}

    return [
        {**told(each, found.chosen), "top": [told(*likely) for likely in found.top]}
        for each, found in zip(ids, logprobs, strict=True)
    ]


def _read(model: "CausalLM", tokenizer: "Tokenizer", prompt: Prompt, settings: GenerationSettings) -> ReadPrompt:
    try:
        return read_prompt(model, tokenizer, prompt.text, settings)
    except InputError as error:
        raise InputError(f"{prompt.where}: {error}") from None


def _line(prompt: Prompt, start: int, completion: Completion, tokenizer: "Tokenizer") -> bytes:
    row = row_of(prompt, start + completion.prompt, completion, tokenizer)
    return json.dumps(row, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"


@contextmanager
def _opened(part: Path, made_from: str, block: int, total: int) -> Iterator[tuple[IO[bytes], int]]:
    """The file of rows so far, at the end of its last whole block, and how many rows that is."""
    head = json.dumps({"format": FORMAT, "made_from": made_from}).encode() + b"\n"
    with writing_to(part):
        part.parent.mkdir(parents=True, exist_ok=True)
        file = open(part, "a+b")  # noqa: SIM115  closed below, where a full disk is named
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{part}: another process is writing it. Wait for it, or name another file.") from None
        file.seek(0)
        first = file.readline()
        if not head.startswith(first):
            raise InputError(
                f"{part}: holds completions of another model, other prompts or other settings. Give the same as then, "
                "or remove it."
            )
        if first != head:  # new, or stopped in its first line
            file.truncate(0)
            file.write(head)
        ends = [len(head)]
        for line in file:
            ends += [ends[-1] + len(line)] if line.endswith(b"\n") else []
        rows = len(ends) - 1 if len(ends) > total else (len(ends) - 1) // block * block
        file.truncate(ends[rows])
        yield file, rows
