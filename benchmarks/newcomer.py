"""What ten minutes of recipes/turkish-text.toml come to, beside xz and a modified Kneser-Ney 5-gram of the same bytes.

    python benchmarks/newcomer.py TEXTS --kenlm PATH/kenlm/build/bin [--minutes N]

The one command of a newcomer, with a clock beside it. KenLM (Heafield et al. 2013) then learns 5-grams of the
training split's token ids, a document a line, and predicts every held-out document and its end: what the model does.
"""

import argparse
import re
import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import measuring
from demo import tezgah
from measuring import REPOSITORY

from tezgah.console import say
from tezgah.tokens.shards import TokenStream
from tezgah.training.record import read_record

ORDER = 5
LOG2_10 = 3.321928094887362


def lines(stream: TokenStream) -> Iterator[bytes]:
    """The ids of each document, without separators, as a line of numbers."""
    for before, after in pairwise(stream.offsets):
        yield b" ".join(b"%d" % token for token in stream[int(before) + 1 : int(after)]) + b"\n"


def kneser_ney(run: Path, programs: Path) -> dict[str, Any]:
    """Bits per byte of the held-out documents and their ends under KenLM's 5-grams of the training documents."""
    with TemporaryDirectory() as place:
        files = {split: Path(place) / split for split in ("train", "validation")}
        streams = {split: TokenStream(run / "tokens", split) for split in files}
        for split, file in files.items():
            with file.open("wb") as out:
                out.writelines(lines(streams[split]))
        arpa = Path(place) / "model.arpa"
        with files["train"].open("rb") as text, arpa.open("wb") as out:
            fit = [str(programs / "lmplz"), "-o", str(ORDER), "--discount_fallback", "-S", "2G", "-T", place]
            said = subprocess.run(fit, stdin=text, stdout=out, stderr=subprocess.PIPE, text=True, check=True).stderr
        with files["validation"].open("rb") as text:
            asked = subprocess.run(
                [programs / "query", str(arpa)],
                stdin=text,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                check=True,
            )
    totals = re.findall(rb"Total: (\S+) OOV: (\d+)", asked.stdout)
    held_out = streams["validation"]
    assert len(totals) == len(held_out.bytes), "KenLM has a total for every document"
    log10 = sum(float(total) for total, _ in totals)
    return {
        "bits_per_byte": -log10 * LOG2_10 / int(held_out.bytes.sum()),
        "unknown": sum(int(unknown) for _, unknown in totals),  # ids that the training split does not hold
        "documents": len(totals),
        "bytes": int(held_out.bytes.sum()),
        "fallback": "Substituting fallback discounts" in said,
    }


def main() -> None:
    arguments = parser().parse_args()
    begun = measuring.conditions()
    run = Path(mkdtemp(prefix="tezgah-newcomer-")) / "run" if arguments.run is None else arguments.run
    budget = ("--train.minutes", f"{arguments.minutes:g}")
    started = time.perf_counter()
    tezgah("run", str(arguments.recipe), "--corpus.source", str(arguments.texts), *budget, "--run", str(run))
    seconds = time.perf_counter() - started
    record = read_record(run)
    assert record.evaluation is not None
    counted = kneser_ney(run, arguments.kenlm)
    ours = record.evaluation.bits_per_byte
    levels = {
        "tezgah, this recipe": ours,
        f"modified Kneser-Ney {ORDER}-grams of the same ids (KenLM)": counted["bits_per_byte"],
        "xz -9e of the held-out bytes": record.baselines["xz"],
        "xz -9e after the training text": record.baselines["xz_primed"],
    }
    rows = [[name, f"{value:.4f}", f"{value / ours:.3f}"] for name, value in levels.items()]
    table = measuring.markdown_table(["what", "held-out bits per byte", "÷ tezgah's"], rows)
    last = record.rows[-1]
    notes = (
        f"{counted['bytes']:,} held-out bytes in {counted['documents']:,} documents, a tenth of all. The command took "
        f"{seconds / 60:.1f} minutes, {last.seconds / 60:.1f} of them training: {last.step:,} steps, "
        f"{last.tokens:,} tokens, {last.epoch:.1f} epochs."
    )
    result = {
        "seconds": seconds,
        "levels": levels,
        "kneser_ney": counted,
        "recipe": record.recipe,
        "last": {"step": last.step, "tokens": last.tokens, "seconds": last.seconds},
    }
    say(f"the run is kept in {run}")
    title = f"{arguments.recipe.name} with minutes = {arguments.minutes:g}, against compressors and 5-grams"
    measuring.write_results(arguments.results, "newcomer", title, f"{table}\n\n{notes}", result, begun)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    description = (__doc__ or "").split("\n")[0]
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("texts", type=Path, help="a folder of .txt files")
    made.add_argument("--kenlm", type=Path, required=True, help="where KenLM's lmplz and query lie")
    made.add_argument("--recipe", type=Path, default=REPOSITORY / "recipes" / "turkish-text.toml", help="what is run")
    made.add_argument("--minutes", type=float, default=10, help="of training")
    made.add_argument("--run", type=Path, help="folder for the run, kept; without it a temporary one")
    made.add_argument("--results", type=Path, default=measuring.RESULTS, help="folder for the results")
    return made


if __name__ == "__main__":
    main()
