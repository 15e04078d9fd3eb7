"""Encoding text to ids: MB/s beside tiktoken and Hugging Face tokenizers, and the way from Parquet to a shard.

    python benchmarks/tokenizer_encoding.py --prose FOLDER

All have the same vocabulary, trained here, and as many threads. Each timing has a new object and sees
each text once; the contestants take turns. The bare encoders get what they take: lists of strings, or
for ours Arrow strings. The whole way is: read a Parquet file, encode, write one .npy file of ids.
Ids are compared, document by document.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measuring
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from corpora import WARM, make_corpus

from tezgah.tokenizer.patterns import PATTERNS
from tezgah.tokenizer.tokenizer import Tokenizer

GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CONTESTANTS = ("tezgah", "tiktoken", "tokenizers")


def new_encoder(name: str, file: Path, split: str, threads: int) -> Callable[[Any], Any]:
    """A fresh encoder, from an Arrow column to ids; ours gives them flat, the others as lists."""
    tokenizer = Tokenizer.load(file)
    if name == "tezgah":
        return tokenizer.encode_batch
    if name == "tokenizers":
        import tokenizers

        library = tokenizers.Tokenizer.from_file(str(file))
        library.encode_special_tokens = True
        return lambda texts: [each.ids for each in library.encode_batch_fast(texts, add_special_tokens=False)]
    import tiktoken

    ranks = {tokenizer.decode_bytes([token]): token for token in range(1, tokenizer.vocab_size)}
    pattern = GPT2 if split == "gpt2" else PATTERNS[split]
    encoding = tiktoken.Encoding("ours", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    return lambda texts: encoding.encode_ordinary_batch(texts, num_threads=threads)


def contest(name: str, file: Path, split: str, path: Path, way: str, threads: int) -> dict[str, Any]:
    """What one process measures of itself, on so many cores."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    encode = new_encoder(name, file, split, threads)
    if name == "tezgah":  # compiled, or read from the cache, by another object
        new_encoder(name, file, split, threads)([WARM] * 3)
    if way == "bare":
        column = pq.read_table(path)["text"].combine_chunks().cast(pa.large_string())
        texts = column if name == "tezgah" else column.to_pylist()
        begun = time.perf_counter()
        ids = encode(texts)
        seconds = time.perf_counter() - begun
        count = len(ids[0]) if name == "tezgah" else sum(map(len, ids))
        return {"seconds": seconds, "tokens": count}
    output = path.with_suffix(f".{name}.npy")
    begun = time.perf_counter()
    parts = []
    for batch in pq.ParquetFile(path).iter_batches(batch_size=1_024, columns=["text"]):
        if name == "tezgah":
            parts.append(encode(batch)[0].astype(np.uint16))
        else:
            parts += [np.array(ids, np.uint16) for ids in encode(batch["text"].to_pylist())]
    ids = np.concatenate(parts)
    np.save(output, ids)
    seconds = time.perf_counter() - begun
    output.unlink()
    return {"seconds": seconds, "tokens": len(ids)}


def differing(file: Path, split: str, path: Path, threads: int) -> dict[str, int]:
    """Documents on which each other contestant's ids are not ours."""
    texts = pq.read_table(path)["text"].to_pylist()
    random = np.random.default_rng(1)
    texts += ["🙂👩‍🚀🇹🇷 İstanbul'da ışık\r\n\t\x00", *(random.bytes(400).decode(errors="replace") for _ in range(500))]
    ids, offsets = new_encoder("tezgah", file, split, threads)(texts)
    ours = [ids[begin:end].tolist() for begin, end in itertools.pairwise(offsets)]
    return {
        name: sum(a != b for a, b in zip(ours, new_encoder(name, file, split, threads)(texts), strict=True))
        for name in CONTESTANTS[1:]
    } | {"documents": len(texts)}


def main() -> None:
    arguments = parser().parse_args()
    if arguments.contestant:
        name, way = arguments.contestant.split(":")
        measured = contest(name, arguments.file, arguments.split, arguments.corpus, way, arguments.threads)
        print(json.dumps(measured))
        return
    begun = measuring.conditions()
    table, results = [], []
    for kind in arguments.kinds:
        path, what = make_corpus(arguments.folder, kind, arguments.megabytes * 1_000_000, arguments.prose)
        column = pq.read_table(path)["text"]
        size = sum(len(text.encode()) for text in column.to_pylist())
        tokenizer = Tokenizer.train(column, arguments.vocab_size, arguments.split)
        file = arguments.folder / f"{kind}-{arguments.split}" / "tokenizer.json"
        tokenizer.save(file.parent)
        differ = differing(file, arguments.split, path, arguments.threads)
        for way in ("bare", "whole"):
            found = measure(path, file, way, arguments)
            results.append(
                {"kind": kind, "way": way, "bytes": size, "what": what, "differing": differ, "rounds": found}
            )
            table += rows(results[-1])
    header = ["text", "from", "contestant", "MB/s", "tezgah is × as fast", "documents with other ids"]
    title = f"Encoding, {arguments.vocab_size:,} ids, {arguments.split} split, {arguments.threads} threads"
    told = measuring.markdown_table(header, table)
    measuring.write_results(arguments.results, "tokenizer_encoding", title, told, {"corpora": results}, begun)
    sys.exit(any(result["differing"][name] for result in results for name in CONTESTANTS[1:]))


def measure(path: Path, file: Path, way: str, arguments: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Every contestant's rounds, in turn."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTESTANTS}
    limits = {"RAYON_NUM_THREADS": str(arguments.threads), "TOKENIZERS_PARALLELISM": "true"}
    for number in range(arguments.rounds):
        for name in CONTESTANTS if number % 2 == 0 else reversed(CONTESTANTS):
            command = [sys.executable, __file__, "--contestant", f"{name}:{way}", "--corpus", str(path)]
            command += ["--file", str(file), "--split", arguments.split, "--threads", str(arguments.threads)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | limits)
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
            print(f"{path.stem}, {way}, round {number + 1}: {name} {found[name][-1]['seconds']:.2f} s", file=sys.stderr)
    return found


def rows(result: dict[str, Any]) -> list[list[str]]:
    """A row for each contestant on one text."""
    made = []
    for name, rounds in result["rounds"].items():
        rates = [result["bytes"] / 1e6 / each["seconds"] for each in rounds]
        ratios = [
            theirs["seconds"] / own["seconds"] for theirs, own in zip(rounds, result["rounds"]["tezgah"], strict=True)
        ]
        made.append(
            [
                f"{result['kind']}, {result['bytes'] / 1e6:,.0f} MB",
                {"bare": "memory to ids", "whole": "Parquet to .npy"}[result["way"]],
                name,
                measuring.spread(rates).text(1),
                "–" if name == "tezgah" else measuring.spread(ratios).text(1),
                "–" if name == "tezgah" else f"{result['differing'][name]} of {result['differing']['documents']:,}",
            ]
        )
    return made


def parser() -> argparse.ArgumentParser:
    """The command line."""
    description = (__doc__ or "").split("\n")[0]
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("--prose", type=Path, help="folder of .txt files, for the prose corpus")
    made.add_argument("--kinds", nargs="+", default=["code", "prose"], choices=["code", "prose"], help="corpora")
    made.add_argument("--megabytes", type=int, default=100, help="size of each corpus")
    made.add_argument("--vocab-size", type=int, default=32_768, help="ids")
    made.add_argument("--split", default="gpt2", help="how text is cut into words")
    made.add_argument("--threads", type=int, default=2, help="threads of every contestant")
    made.add_argument("--rounds", type=int, default=5, help="times each contestant encodes each corpus")
    made.add_argument("--folder", type=Path, default=Path("runs/bench/corpora"), help="where corpora are kept")
    made.add_argument("--results", type=Path, default=measuring.RESULTS, help="folder for the results")
    made.add_argument("--contestant", help=argparse.SUPPRESS)
    made.add_argument("--corpus", type=Path, help=argparse.SUPPRESS)
    made.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    return made


if __name__ == "__main__":
    main()
