"""The verb that measures a model: `tezgah evaluate`."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tezgah.answers import Answer, Verb, lines, table
from tezgah.errors import InputError
from tezgah.opening import MODEL, home_of, opened, recipe_of
from tezgah.settings import PositiveInt
from tezgah.task_measure import TaskFlags

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tezgah.evaluation.detailed import DetailedEvaluation
    from tezgah.evaluation.overlap import OverlapSummary
    from tezgah.evaluation.task_results import Result
    from tezgah.evaluation.windows import Documents, Indices
    from tezgah.recipe import Recipe
    from tezgah.task_measure import Asked
    from tezgah.tokenizer.tokenizer import Tokenizer

Side = Literal["position", "source", "confidence"]


OVERLAP_HEADING = "how alike samples and solutions look, which does not measure whether they are correct:"


class EvaluateFlags(TaskFlags, frozen=True):
    """Flags of `evaluate`."""

    stride: Annotated[
        PositiveInt | None,
        Meta(description="tokens between the beginnings of two windows, so that all but the first have context before"),
    ] = None
    by: Annotated[
        tuple[Side, ...],
        Meta(description="measure also the loss by place in the context or by source, and how well confidence fits"),
    ] = ()
    overlap: Annotated[
        bool,
        Meta(description="with --tasks: BLEU and CodeBLEU-like overlap with the solutions, beside the tests' verdicts"),
    ] = False
    o: Annotated[str, Meta(description="folder of the results of --tasks; one that was begun goes on")] = ""


def evaluate(operands: list[str], flags: EvaluateFlags) -> Answer:
    """Measure a model on files, or on the held-out text of its run."""
    from tezgah.evaluation.bits_per_byte import evaluate_documents as whole
    from tezgah.evaluation.detailed import evaluate_detailed
    from tezgah.generation.kinds import fills_masks
    from tezgah.stations import evaluation_place

    path, *files = operands
    if flags.tasks:
        return _on_tasks(path, files, flags)
    if flags.overlap:
        raise InputError(
            "--overlap compares samples of --tasks with their solutions. Give --tasks too, or leave it out."
        )
    if flags.o:
        raise InputError("-o is the folder of the results of --tasks. Give --tasks too, or leave it out.")
    recipe = recipe_of(path)
    model, tokenizer = opened(path, or_fills=True)
    if fills_masks(model):
        if flags.stride or flags.by:
            raise InputError(
                f"{path}: fills masks, and is read without windows; --stride and --by are of no use to it."
            )
        value = {"model": path, **_filled(path, files, model, tokenizer, recipe)}
        return Answer(lines(value), value)
    autocast, batch_size = evaluation_place(recipe).autocast, recipe.evaluate.batch_size
    stream, sources = _documents(path, files, tokenizer)
    if not flags.stride and not flags.by:
        value = {"model": path, **msgspec.to_builtins(whole(model, stream, batch_size, None, autocast, True))}
        return Answer(lines(value), value)
    found = evaluate_detailed(model, tokenizer, stream, batch_size, flags.stride, autocast, sources, show_progress=True)
    value = {"model": path, **msgspec.to_builtins(found)}
    figures = {name: each for name, each in value.items() if not isinstance(each, list | dict)}
    return Answer("\n\n".join([lines(figures), *(_shown(found, side) for side in flags.by)]), value)


def _on_tasks(path: str, files: list[str], flags: EvaluateFlags) -> Answer:
    """Measure a model on code tasks."""
    from tezgah.task_measure import asked_of, figures, measure_tasks, value_of

    if files or flags.stride or flags.by:
        raise InputError("--tasks reads no FILE, and takes neither --stride nor --by. Measure these by themselves.")
    if not flags.o:
        raise InputError("--tasks needs -o, the folder of its results.")
    folder, asked = Path(flags.o), asked_of(flags)
    alike = _alike(asked) if flags.overlap else None  # what is missing is told before anything is sampled
    found = measure_tasks(path, asked, folder)
    text = lines({**figures(found), "results": str(folder / "results.jsonl")})
    value = {"model": path, **value_of(found, folder)}
    if alike:
        overlap = alike(found.results, folder)
        text, value["overlap"] = f"{text}\n\n{_contrasts(overlap)}", msgspec.to_builtins(overlap)
    return Answer(text, value)


def _alike(asked: "Asked") -> "Callable[[Sequence[Result], Path], OverlapSummary]":
    """What compares samples of these tasks with the tasks' solutions."""
    from tezgah.evaluation.overlap import Alike, measure_overlap, solved

    return partial(measure_overlap, solved(asked.read()), Alike())


def _contrasts(found: "OverlapSummary") -> str:
    """Overlaps as a table, under what they do not say."""
    names = {"BLEU": found.bleu, "keyword BLEU": found.keyword_bleu, "AST match": found.ast_match}
    rows = [
        (name, *("none" if mean is None else str(mean) for mean in (each.all, each.passed, each.failed)))
        for name, each in names.items()
    ]
    head = ("0 to 100", f"all {found.samples:,} samples", f"{found.passed:,} passed", f"{found.failed:,} failed")
    return f"{OVERLAP_HEADING}\n{table(head, rows)}"


def _filled(path: str, files: list[str], model: Any, tokenizer: "Tokenizer", recipe: "Recipe") -> dict[str, Any]:
    """What a model makes of the fixed masks of files, or of the held-out text of its run."""
    from tezgah.api import read_texts
    from tezgah.evaluation.masked import evaluate_masked_texts
    from tezgah.masked_stations import check_mask, evaluate_held_out
    from tezgah.stations import evaluation_place

    check_mask(tokenizer, Path(path))
    autocast = evaluation_place(recipe).autocast
    if files:
        batch_size = recipe.evaluate.batch_size
        measured = evaluate_masked_texts(model, tokenizer, read_texts(files), batch_size, autocast, True)
    else:
        measured, _ = evaluate_held_out(model, tokenizer, recipe, home_of(path), autocast)
    found: dict[str, Any] = msgspec.to_builtins(measured)
    return found


def _documents(path: str, files: list[str], tokenizer: "Tokenizer") -> "tuple[Documents, dict[str, Indices]]":
    """The documents of files, or the held-out ones of the run that a MODEL belongs to; and those of each source."""
    import numpy as np

    if files:
        from tezgah.api import read_texts
        from tezgah.evaluation.texts import TextDocuments

        texts = {name: list(read_texts([name])) for name in files}
        ends = np.cumsum([len(each) for each in texts.values()])
        sources = {
            name: np.arange(end - len(own), end) for (name, own), end in zip(texts.items(), ends.tolist(), strict=True)
        }
        return TextDocuments(tokenizer, [text for own in texts.values() for text in own]), sources
    from tezgah.evaluation.by_source import documents_of
    from tezgah.tokens.shards import TokenStream

    stream = TokenStream(home_of(path) / "tokens", "validation")
    stream.check_tokenizer(tokenizer.hash)
    return stream, documents_of(stream)


def _shown(found: "DetailedEvaluation", side: Side) -> str:
    """One side of an evaluation as a table."""
    if side == "confidence":
        return table(
            ("confidence", "tokens", "mean", "right"),
            [
                (
                    f"{each.low:.2f}–{each.high:.2f}",
                    f"{each.predictions:,}",
                    f"{each.confidence:.3f}",
                    f"{each.accuracy:.3f}",
                )
                for each in found.reliability
            ],
        )
    if side == "position":
        head = ("tokens before", "tokens", "loss", "perplexity", "bits per byte")
        places = [(_stretch(each.first, each.last), each) for each in found.by_position]
        return table(head, [(name, *_cells(each)) for name, each in places])
    head = ("source", "tokens", "loss", "perplexity", "bits per byte")
    return table(head, [(name, *_cells(each)) for name, each in found.by_source.items()])


def _stretch(first: int, last: int) -> str:
    return f"{first:,}" if first == last else f"{first:,}–{last:,}"


def _cells(each: Any) -> tuple[str, ...]:
    bits = "–" if each.bits_per_byte is None else f"{each.bits_per_byte:.4f}"
    return f"{each.tokens:,}", f"{each.loss:.4f}", f"{each.perplexity:,.4f}", bits


EVALUATE = Verb(
    "Measure a model: loss, perplexity, bits per byte and calibration on whole documents; or how well it fills masks.",
    ("MODEL", "[FILE…]"),
    EvaluateFlags,
    evaluate,
    f"{MODEL} Without a FILE the "
    "held-out documents of its run are read. Of a masked language model it is the loss per masked token, the share "
    "filled right and the pseudo-perplexity per word; the masks never change. With --tasks the model writes code, "
    "samples end before the first later line that begins a block (where the prompt has not begun the function, before "
    "the first after its def), and their tests run in a sandbox.",
)
