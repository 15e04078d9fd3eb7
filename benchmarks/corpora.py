"""Texts to measure text tools on, as Parquet files with a `text` column: code, prose, and as much as is wanted.

Beyond what is there a corpus is synthesized: words drawn with the frequencies they have in the real
text, a new one now and then, so that distinct words grow as they do in natural text (Heaps' law).
"""

import itertools
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tezgah.tokenizer.count import count_texts
from tezgah.tokenizer.texts import utf8

DOCUMENT = 16_384  # bytes of a synthesized document
NEW_WORDS = 0.002  # share of drawn words that are joined from the halves of two others


def python_code() -> Iterator[str]:
    """Every Python file of the standard library and of the installed packages."""
    paths = sysconfig.get_paths()
    for root in dict.fromkeys((paths["stdlib"], paths["purelib"])):
        for path in sorted(Path(root).rglob("*.py")):
            try:
                yield path.read_text("utf-8")
            except (UnicodeDecodeError, OSError):
                continue


def prose(folder: Path) -> Iterator[str]:
    """The paragraphs of every .txt and .md file in a folder, a few kilobytes together."""
    for path in sorted([*folder.glob("*.txt"), *folder.glob("*.md")]):
        text = path.read_text("utf-8")
        yield from (text[start : start + DOCUMENT // 2] for start in range(0, len(text), DOCUMENT // 2))


def synthesized(texts: list[str], seed: int = 1) -> Iterator[str]:
    """Documents without an end, made of the words of `texts` by their frequency and of new ones."""
    words = count_texts(utf8(texts), "gpt2", threads=1)
    arena = words.arena.tobytes()
    bounds = words.starts.tolist()
    known = [arena[begin:end] for begin, end in itertools.pairwise(bounds)]
    shares = np.cumsum(words.counts / words.counts.sum())
    random = np.random.default_rng(seed)
    many = DOCUMENT // 4
    while True:
        drawn = np.searchsorted(shares, random.random(many)).tolist()
        document = [known[min(word, len(known) - 1)] for word in drawn]
        for place in np.flatnonzero(random.random(many) < NEW_WORDS).tolist():
            first, second = (document[int(random.integers(many))] for _ in range(2))
            document[place] = first[: len(first) // 2 + 1] + second[len(second) // 2 :]
        yield b"".join(document).decode(errors="ignore").replace("\x00", "")


def write_corpus(path: Path, texts: Iterator[str], size: int) -> int:
    """Write documents until there are `size` bytes; how many bytes there are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written, batch, held = 0, [], 0
    schema = pa.schema({"text": pa.large_string()})
    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        for text in texts:
            batch.append(text)
            held += len(text.encode())
            if held >= 1 << 22 or written + held >= size:
                file.write_table(pa.table({"text": pa.array(batch, pa.large_string())}))
                written, batch, held = written + held, [], 0
                if written >= size:
                    return written
        if batch:
            file.write_table(pa.table({"text": pa.array(batch, pa.large_string())}))
    return written + held


def make_corpus(folder: Path, kind: str, size: int, prose_folder: Path | None) -> tuple[Path, str]:
    """The corpus of about `size` bytes, made where it is not there yet; and whether it is real or synthesized."""
    real, beyond = folder / f"{kind}-{size}.parquet", folder / f"{kind}-{size}-synthesized.parquet"
    for path, what in ((real, "real"), (beyond, "synthesized")):
        if path.exists():
            return path, what
    if kind != "code" and prose_folder is None:
        raise SystemExit("no prose: give --prose, a folder of .txt files")
    texts = python_code() if kind == "code" or prose_folder is None else prose(prose_folder)
    if write_corpus(real, texts, size) >= size:
        return real, "real"
    source = pq.read_table(real)["text"].to_pylist()
    real.unlink()
    print(f"{kind}: synthesizing {size / 1e6:,.0f} MB", file=sys.stderr)
    write_corpus(beyond, synthesized(source), size)
    return beyond, "synthesized"
