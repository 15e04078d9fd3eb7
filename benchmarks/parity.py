"""Does `transformers` see the same model? Logits and token ids of checkpoints, ours beside theirs.

    python benchmarks/parity.py MODEL…

A MODEL is a run folder or a checkpoint in one. Its tokenizers encode 1,000 lines spread over the
held-out split of the run; the tokens of these lines, cut into windows of the context length, are
what both models predict, in float32. The relative error is max |ours − theirs| / max |theirs|.
Exits with 1 where it exceeds 1e-4 or an id differs.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import measuring
import numpy as np
from numpy.typing import NDArray

import tezgah
from tezgah.api import find_model
from tezgah.corpus.reading import read_batches

MOST_ERROR = 1e-4
WINDOWS = 8  # of the context length


def held_out_lines(corpus: Path, count: int) -> list[str]:
    """`count` lines that are not blank, evenly over the held-out split.

    Lines that spell a special token are left out: there transformers reads a token on purpose, and ours text.
    """
    lines = [
        line
        for batch in read_batches(corpus, "validation")
        for text in batch["text"].to_pylist()
        for line in text.splitlines()
        if line.strip() and "<|endoftext|>" not in line
    ]
    return [lines[i * len(lines) // count] for i in range(min(count, len(lines)))] if len(lines) > count else lines


def corpus_of(model: Path) -> Path:
    """The corpus of the run that a MODEL is, or lies in."""
    for folder in (model, *model.resolve().parents[:2]):
        if (folder / "corpus" / "index.json").is_file():
            return folder / "corpus"
    raise SystemExit(f"{model}: not a run, nor in one. Give --corpus, the corpus folder whose lines are to be read.")


def measure(model: Path, corpus: Path, count: int) -> dict[str, Any]:
    """Lines whose ids differ, and the relative error of the logits."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = find_model(model)
    ours, tokenizer = tezgah.load(folder)
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    their_tokenizer = AutoTokenizer.from_pretrained(folder)
    if tokenizer is None:
        raise SystemExit(f"{folder}: has no tokenizer beside its model. Add a tokenizer.json.")
    lines = held_out_lines(corpus, count)
    ids = [tokenizer.encode(line) for line in lines]
    differing = [
        line for line, own in zip(lines, ids, strict=True) if own.tolist() != their_tokenizer(line)["input_ids"]
    ]
    given = torch.from_numpy(windows(np.concatenate(ids), ours.config.context_length))  # (windows, time)
    with torch.no_grad():
        own_logits = ours(given)  # (windows, time, vocab)
        expected = theirs(given).logits
    return {
        "model": type(theirs).__name__,
        "parameters": theirs.num_parameters(),
        "lines": len(lines),
        "differing_lines": differing,
        "predictions": given.numel(),
        "relative_error": float((own_logits - expected).abs().max() / expected.abs().max()),
    }


def windows(ids: NDArray[np.integer], context_length: int) -> NDArray[np.int64]:
    """At most WINDOWS rows of `context_length` ids, (rows, time); one shorter row where there are too few."""
    rows = min(WINDOWS, len(ids) // context_length)
    if rows == 0:
        return ids[None].astype(np.int64)
    return ids[: rows * context_length].astype(np.int64).reshape(rows, context_length)


def table(results: list[dict[str, Any]]) -> str:
    """One row a model."""
    rows = [
        [
            f"{each['name']} ({each['model']}, {each['parameters']:,} parameters)",
            f"{each['relative_error']:.1e} over {each['predictions']:,} predictions",
            f"{each['lines'] - len(each['differing_lines']):,} of {each['lines']:,}",
        ]
        for each in results
    ]
    return measuring.markdown_table(["checkpoint", "relative error of the logits", "lines with equal ids"], rows)


def main() -> None:
    arguments = parser().parse_args()
    begun = measuring.conditions()
    results = [
        {"name": model.resolve().name, **measure(model, arguments.corpus or corpus_of(model), arguments.lines)}
        for model in arguments.models
    ]
    title = "Checkpoints opened by transformers: the same logits, the same ids"
    measuring.write_results(arguments.results, "parity", title, table(results), {"checkpoints": results}, begun)
    sys.exit(any(each["differing_lines"] or not each["relative_error"] <= MOST_ERROR for each in results))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    description = (__doc__ or "").split("\n")[0]
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("models", nargs="+", type=Path, metavar="MODEL", help="a run folder, or a checkpoint in one")
    made.add_argument("--corpus", type=Path, help="another corpus folder; without it the run's own")
    made.add_argument("--lines", type=int, default=1_000, help="held-out lines")
    made.add_argument("--results", type=Path, default=measuring.RESULTS, help="folder for the results")
    return made


if __name__ == "__main__":
    main()
