"""Stream mode: memory, disk and tokens/s as the corpus grows, and what resuming in it costs.

    python benchmarks/stream_mode.py --sizes 200 2000

Compressed JSON Lines of each size are synthesized from real lines of Python code. For each a process
of its own does all that a run does before and beside training: the sample, a tokenizer of it, its tokens,
and then every batch of one epoch is drawn, without training on it. Another begins in the middle
by the first one's marks. Memory is the most that the first process held in RAM, all stages included.
Where the disk takes it (--compare, MB) the same corpus is stored as well, and every sequence compared in source
order; the script exits with 1 where one differs.
"""

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import measuring
import numpy as np
from corpora import python_code

DOCUMENT_LINES = 120
BATCH = 32  # sequences
VOCAB_SIZE = 32_768


def documents(seed: int) -> Iterator[str]:
    """Texts without an end, of lines drawn from Python's library and the installed packages."""
    chance, lines = random.Random(seed), []
    for text in python_code():
        lines += text.splitlines(keepends=True)
        if len(lines) > 400_000:
            break
    while True:
        yield "".join(chance.choices(lines, k=chance.randrange(2 * DOCUMENT_LINES)))


def make_source(path: Path, size: int) -> None:
    """Rows of JSON, gzip's fastest level, until there are `size` bytes."""
    if path.exists() and path.stat().st_size >= size:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    packed, written, held = zlib.compressobj(1, wbits=31), 0, bytearray()
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        for text in documents(seed=1):
            held += json.dumps({"text": text}, ensure_ascii=False).encode() + b"\n"
            if len(held) >= 1 << 20:
                written += file.write(packed.compress(bytes(held)))
                held.clear()
                if written >= size:
                    break
        file.write(packed.compress(bytes(held)) + packed.flush())
    part.rename(path)


def prepare(source: Path, run: Path, context_length: int) -> Any:
    """The stages before training; the training sequences."""
    from tezgah.tokenizer.tokenizer import Tokenizer
    from tezgah.tokens.progress import StreamProgress
    from tezgah.tokens.sequences import Sequences
    from tezgah.tokens.shards import TokenStream
    from tezgah.tokens.stream import read_pieces
    from tezgah.tokens.streamed import StreamedSequences

    recipe = recipe_of(source, "stream")
    make_stages(recipe, run)
    tokenizer = Tokenizer.load(run / "tokenizer")
    sample = Sequences(TokenStream(run / "tokens", "sample"), context_length)
    progress = StreamProgress(run / "checkpoints" / "stream.json", "a benchmark")
    return StreamedSequences(lambda first: read_pieces(recipe.corpus, tokenizer, first), progress, sample)


def recipe_of(source: Path, mode: str) -> Any:
    """The recipe of a corpus, streamed or stored."""
    from tezgah.recipe import make_recipe

    return make_recipe(
        {
            "corpus": {"source": str(source), "split": "hash"},
            "tokens": {"mode": mode},
            "tokenizer": {"vocab_size": VOCAB_SIZE},
            "train": {"steps": 1},
        }
    )


def make_stages(recipe: Any, run: Path) -> None:
    """The stages before training that are not there yet."""
    from tezgah import stations

    stages = {"corpus": stations.make_corpus, "tokenizer": stations.make_tokenizer, "tokens": stations.make_tokens}
    for name, make in stages.items():
        if not (run / name).exists():
            (run / name).mkdir(parents=True)
            make(recipe, run, run / name)


def draw(source: Path, run: Path, context_length: int) -> dict[str, Any]:
    """Every batch of one epoch; what this process measures of itself."""
    begun = time.perf_counter()
    sequences = prepare(source, run, context_length)
    before, peak_before = time.perf_counter() - begun, peak_bytes()
    started, cpu_started = time.perf_counter(), time.process_time()
    first = 0
    while sequences.in_epoch is None or first + BATCH <= sequences.in_epoch:
        sequences.take(1, first, BATCH)
        first += BATCH
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu_started
    sequences.close()
    state = json.loads((run / "checkpoints" / "stream.json").read_text())
    return {
        "seconds_before": before,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "tokens": first * context_length,
        "sequences": state["sequences"],
        "text_bytes": state["reached"]["bytes"],
        "characters_per_token": state["characters_per_token"],
        "peak_bytes_before": peak_before,
        "peak_bytes": peak_bytes(),
        "disk_bytes": sum(path.stat().st_size for path in run.rglob("*") if path.is_file()),
        "written_bytes": written_bytes(),
    }


def resume(source: Path, run: Path, context_length: int) -> dict[str, Any]:
    """Seconds of CPU time to a batch in the middle of the epoch, by the marks that are there and without any."""
    from tezgah.tokens.progress import State, StreamProgress

    found = {}
    for name in ("marks", "no_marks"):
        sequences = prepare(source, run, context_length)
        middle = sequences.in_epoch // 2
        if name == "no_marks":
            sequences._progress.state = State()
        begun = time.process_time()
        sequences.take(1, middle, BATCH)
        found[name] = time.process_time() - begun
        sequences._progress = StreamProgress()  # what was not read to its end is not written down
        sequences.close()
    return found | {"peak_bytes": peak_bytes()}


def compare(source: Path, run: Path, context_length: int) -> dict[str, Any]:
    """The sequences of the stream in source order beside those of the same corpus stored: how many, how many differ."""
    from tezgah.tokens.sequences import Sequences
    from tezgah.tokens.shards import TokenStream

    streamed, stored_run = prepare(source, run, context_length), run.with_name(f"{run.name}-stored")
    shutil.rmtree(stored_run, ignore_errors=True)
    shutil.copytree(run / "tokenizer", stored_run / "tokenizer")
    make_stages(recipe_of(source, "stored"), stored_run)
    stored = Sequences(TokenStream(stored_run / "tokens", "train"), context_length)
    different = 0
    for first in range(0, len(stored), BATCH):
        count = min(BATCH, len(stored) - first)
        pairs = zip(streamed.take(None, first, count), stored.batch(np.arange(first, first + count)), strict=True)
        different += max(int((ours != theirs).any(axis=1).sum()) for ours, theirs in pairs)
    streamed.close()
    disk = sum(path.stat().st_size for path in stored_run.rglob("*") if path.is_file())
    shutil.rmtree(stored_run)
    same = streamed.in_epoch == len(stored)
    return {"sequences": len(stored), "different": different, "is_as_long": same, "stored_disk_bytes": disk}


def peak_bytes() -> int:
    """The most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def written_bytes() -> int | None:
    """What this process has sent to any disk; None where the system does not say."""
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return None
    return next(int(line.split(":")[1]) for line in lines if line.startswith("write_bytes"))


def measured(part: str, source: Path, run: Path, context_length: int) -> dict[str, Any]:
    """One part in a process of its own."""
    command = [sys.executable, __file__, "--part", part, "--source", str(source), "--run", str(run)]
    done = subprocess.run(
        [*command, "--context-length", str(context_length)], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def table(results: list[dict[str, Any]]) -> str:
    """A row a corpus."""
    header = ["compressed", "text", "tokens", "peak memory", "run folder", "written", "tokens/s", "of CPU time"]
    header += ["to the middle again, of CPU time", "sequences beside stored ones"]
    rows = [
        [
            f"{each['source_bytes'] / 1e6:,.0f} MB",
            f"{each['text_bytes'] / 1e6:,.0f} MB",
            f"{each['tokens'] / 1e6:,.0f} M",
            f"{each['peak_bytes'] / 1e6:,.0f} MB",
            f"{each['disk_bytes'] / 1e6:,.1f} MB",
            f"{(each['written_bytes'] or 0) / 1e6:,.1f} MB",
            f"{each['tokens'] / each['seconds']:,.0f}",
            f"{each['tokens'] / each['cpu_seconds']:,.0f}",
            f"{each['resume']['marks']:,.1f} s by marks, {each['resume']['no_marks']:,.1f} s without",
            compared(each.get("compare")),
        ]
        for each in results
    ]
    return measuring.markdown_table(header, rows)


def compared(found: dict[str, Any] | None) -> str:
    """What the comparison with a stored corpus came to, in words."""
    if found is None:
        return "not compared"
    if found["different"] or not found["is_as_long"]:
        return f"{found['different']:,} of {found['sequences']:,} differ"
    return f"{found['sequences']:,}, all the same (stored: {found['stored_disk_bytes'] / 1e6:,.0f} MB)"


def main() -> None:
    arguments = parser().parse_args()
    if arguments.part:
        part = {"draw": draw, "resume": resume, "compare": compare}[arguments.part]
        print(json.dumps(part(arguments.source, arguments.run, arguments.context_length)))
        return
    begun = measuring.conditions()
    folder = arguments.folder or Path(mkdtemp(prefix="tezgah-stream-"))
    results = []
    for megabytes in arguments.sizes:
        source, run = folder / f"{megabytes}.jsonl.gz", folder / f"run-{megabytes}"
        make_source(source, megabytes * 1_000_000)
        shutil.rmtree(run, ignore_errors=True)
        found = measured("draw", source, run, arguments.context_length)
        found["resume"] = measured("resume", source, run, arguments.context_length)
        if megabytes <= arguments.compare:
            found["compare"] = measured("compare", source, run, arguments.context_length)
        results.append({"source_bytes": source.stat().st_size, **found})
        print(f"{megabytes} MB: {found}", file=sys.stderr)
        if not arguments.keep:
            source.unlink()
    title = f"Stream mode: one epoch drawn, context {arguments.context_length}, {VOCAB_SIZE:,} ids, batches of {BATCH}"
    result = {"context_length": arguments.context_length, "corpora": results}
    measuring.write_results(arguments.results, "stream_mode", title, table(results), result, begun)
    if any(compared(each.get("compare")).endswith("differ") for each in results):
        sys.exit(1)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    description = (__doc__ or "").split("\n")[0]
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("--sizes", type=int, nargs="+", default=[200, 2000], help="MB of compressed rows")
    made.add_argument("--compare", type=int, default=200, help="MB of the largest corpus that is stored as well")
    made.add_argument("--context-length", type=int, default=1024, help="tokens in a sequence")
    made.add_argument("--folder", type=Path, help="where sources and runs are made; without it a temporary folder")
    made.add_argument("--keep", action=argparse.BooleanOptionalAction, default=False, help="keep the sources")
    made.add_argument("--results", type=Path, default=measuring.RESULTS, help="folder for the results")
    made.add_argument("--part", choices=["draw", "resume", "compare"], help=argparse.SUPPRESS)
    made.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    made.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    return made


if __name__ == "__main__":
    main()
