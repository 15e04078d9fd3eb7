"""Training a byte-level BPE: seconds and memory beside Hugging Face tokenizers and rustbpe.

    python benchmarks/tokenizer_training.py --prose FOLDER

Each contestant is a process of its own that reads the same Parquet file and trains 32,768 ids with
GPT-2's split. They take turns, each corpus several times; ours is compiled before (the seconds that
takes are told too). Memory is the most the process ever held. The merges of ours and of Hugging Face's
are compared, one by one.
"""

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import measuring
import pyarrow.parquet as pq
from corpora import WARM, make_corpus

PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"  # GPT-2's
CONTESTANTS = ("tezgah", "tokenizers", "rustbpe")


def batches(path: Path) -> Iterator[list[str]]:
    """The texts, a few megabytes at a time."""
    for batch in pq.ParquetFile(path).iter_batches(batch_size=512, columns=["text"]):
        yield batch["text"].to_pylist()


def train_tezgah(path: Path, vocab_size: int) -> list[tuple[str, str]]:
    from tezgah.tokenizer.artefact import merge_parts
    from tezgah.tokenizer.tokenizer import Tokenizer

    tokenizer = Tokenizer.train(pq.ParquetFile(path).iter_batches(batch_size=512), vocab_size, "gpt2")
    return [merge_parts(merge) for merge in json.loads(tokenizer.json)["model"]["merges"]]


def train_tokenizers(path: Path, vocab_size: int) -> list[tuple[str, str]]:
    import tokenizers

    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(batches(path), trainer)
    return [tuple(merge) for merge in json.loads(tokenizer.to_str())["model"]["merges"]]


def train_rustbpe(path: Path, vocab_size: int) -> list[tuple[str, str]]:
    import rustbpe

    tokenizer = rustbpe.Tokenizer()
    texts = (text for batch in batches(path) for text in batch)
    tokenizer.train_from_iterator(texts, vocab_size - 1, pattern=PATTERN)
    return []


def contest(name: str, path: Path, vocab_size: int) -> dict[str, Any]:
    """What one process measures of itself."""
    train = {"tezgah": train_tezgah, "tokenizers": train_tokenizers, "rustbpe": train_rustbpe}[name]
    cold = 0.0
    if name == "tezgah":  # compiled, or read from the cache, outside the measurement
        from tezgah.tokenizer.tokenizer import Tokenizer

        begun = time.perf_counter()
        Tokenizer.train([WARM] * 3, 1_000, "gpt2")
        cold = time.perf_counter() - begun
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.perf_counter()
    merges = train(path, vocab_size)
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024
    digest = hashlib.sha256(json.dumps(merges).encode()).hexdigest()
    return {
        "seconds": seconds,
        "peak_bytes": peak * unit,
        "bytes_before": before * unit,
        "starting_seconds": cold,
        "merges": len(merges),
        "digest": digest,
    }


def measure(path: Path, names: list[str], vocab_size: int, rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Every contestant's rounds, in turn."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            command = [
                sys.executable,
                __file__,
                "--contestant",
                name,
                "--corpus",
                str(path),
                "--vocab-size",
                str(vocab_size),
            ]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
            print(f"{path.stem}, round {number + 1}: {name} {found[name][-1]['seconds']:.2f} s", file=sys.stderr)
    return found


def rows(corpus: dict[str, Any]) -> list[list[str]]:
    """A row for each contestant on one corpus."""
    ours = corpus["rounds"]["tezgah"]
    made = []
    for name, rounds in corpus["rounds"].items():
        ratio = [theirs["seconds"] / own["seconds"] for theirs, own in zip(rounds, ours, strict=True)]
        same = {each["digest"] for each in rounds} == {each["digest"] for each in ours}
        made.append(
            [
                f"{corpus['kind']}, {corpus['bytes'] / 1e6:,.0f} MB ({corpus['what']})",
                name,
                measuring.spread([each["seconds"] for each in rounds]).text(2),
                "–" if name == "tezgah" else measuring.spread(ratio).text(1),
                f"{max(each['peak_bytes'] for each in rounds) / 1e6:,.0f}",
                {"tezgah": "–", "tokenizers": "the same" if same else "OTHERS"}.get(name, "ties fall otherwise"),
            ]
        )
    return made


def main() -> None:
    arguments = parser().parse_args()
    if arguments.contestant:
        print(json.dumps(contest(arguments.contestant, arguments.corpus, arguments.vocab_size)))
        return
    names = list(CONTESTANTS)
    try:
        import rustbpe  # noqa: F401
    except ImportError:
        names.remove("rustbpe")
        print("rustbpe is not installed and is left out", file=sys.stderr)
    begun = measuring.conditions()
    results = []
    for size in arguments.megabytes:
        for kind in arguments.kinds:
            path, what = make_corpus(arguments.folder, kind, size * 1_000_000, arguments.prose)
            count = sum(len(text.encode()) for batch in batches(path) for text in batch)
            found = measure(path, names, arguments.vocab_size, arguments.rounds)
            results.append({"kind": kind, "bytes": count, "what": what, "rounds": found})
    header = ["corpus", "contestant", "seconds", "÷ tezgah", "peak memory, MB", "merges"]
    title = f"Training a byte-level BPE, {arguments.vocab_size:,} ids, GPT-2's split"
    table = measuring.markdown_table(header, [row for result in results for row in rows(result)])
    measuring.write_results(arguments.results, arguments.name, title, table, {"corpora": results}, begun)
    same = all(
        each["digest"] == theirs["digest"]
        for result in results
        for each, theirs in zip(result["rounds"]["tezgah"], result["rounds"]["tokenizers"], strict=True)
    )
    sys.exit(0 if same else 1)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    description = (__doc__ or "").split("\n")[0]
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("--prose", type=Path, help="folder of .txt files, for the prose corpora")
    made.add_argument("--kinds", nargs="+", default=["code", "prose"], choices=["code", "prose"], help="corpora")
    made.add_argument("--megabytes", nargs="+", type=int, default=[10, 100, 1_000], help="sizes of the corpora")
    made.add_argument("--vocab-size", type=int, default=32_768, help="ids")
    made.add_argument("--rounds", type=int, default=5, help="times each contestant trains on each corpus")
    made.add_argument("--folder", type=Path, default=Path("runs/bench/corpora"), help="where corpora are kept")
    made.add_argument("--results", type=Path, default=measuring.RESULTS, help="folder for the results")
    made.add_argument("--name", default="tokenizer_training", help="name of the result's files")
    made.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    made.add_argument("--corpus", type=Path, help=argparse.SUPPRESS)
    return made


if __name__ == "__main__":
    main()
