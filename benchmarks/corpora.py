"""Texts to measure text tools on, as Parquet files with a `text` column: code, prose, and as much as is wanted.

Beyond what is there a corpus is synthesized: lines drawn from the real text, so that words come with
their frequencies and in their company, and in them as many new words as keep distinct words growing
as they do in natural text (Heaps' law).
"""

import random
import sys
import sysconfig
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tezgah.tokenizer.count import count_texts
from tezgah.tokenizer.texts import utf8

WARM = " ".join(map(str, range(40_000)))  # words enough for every table to grow, so that every loop is compiled
DOCUMENT = 16_384  # bytes of a synthesized document
HEAPS = 0.7  # exponent: ten times the text has five times the distinct words


def python_code() -> Iterator[str]:
    """Every Python file of the standard library and of the installed packages, but for a few.

    What Unicode has taken up of late is a letter to one library and a sign to another, which knows an older table:
    files with characters that are unknown to this Python are left out.
    """
    paths = sysconfig.get_paths()
    for root in dict.fromkeys((paths["stdlib"], paths["purelib"])):
        for path in sorted(Path(root).rglob("*.py")):
            try:
                text = path.read_text("utf-8")
            except (UnicodeDecodeError, OSError):
                continue
            if all(unicodedata.category(character) != "Cn" for character in set(text)):
                yield text


def prose(folder: Path) -> Iterator[str]:
    """The paragraphs of every .txt and .md file in a folder, a few kilobytes together."""
    for path in sorted([*folder.glob("*.txt"), *folder.glob("*.md")]):
        text = path.read_text("utf-8")
        yield from (text[start : start + DOCUMENT // 2] for start in range(0, len(text), DOCUMENT // 2))


def synthesized(texts: list[str], size: int, seed: int = 1) -> Iterator[str]:
    """Documents without an end, `size` bytes of which have as many distinct words as natural text would."""
    chance = random.Random(seed)
    lines = [line for text in texts for line in text.splitlines(keepends=True)]
    have = sum(len(line.encode()) for line in lines)
    words = count_texts(utf8(texts), "gpt2", threads=1)
    wanted = len(words.counts) * ((size / have) ** HEAPS - 1)
    new_a_line = wanted / (size / have * len(lines))
    while True:
        document: list[str] = []
        held = 0
        while held < DOCUMENT:
            line = chance.choice(lines)
            new = int(new_a_line + chance.random())
            document.append(with_new_words(line, chance.choice(lines), new, chance) if new else line)
            held += len(line)
        yield "".join(document)


def with_new_words(line: str, other: str, count: int, chance: random.Random) -> str:
    """A line in which `count` words go on as words of another line do."""
    words, others = line.split(" "), [word for word in other.split(" ") if len(word) > 2] or ["x"]
    for _ in range(count):
        place, donor = chance.randrange(len(words)), chance.choice(others)
        words[place] = words[place][: 1 + chance.randrange(6)] + donor[-1 - chance.randrange(6) :].strip()
    return " ".join(words)


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
    write_corpus(beyond, synthesized(source, size), size)
    return beyond, "synthesized"
