"""Turkish: a foreign tokenizer extended with it, and a new one whose split keeps suffixes after an apostrophe whole.

    python benchmarks/tokenizer_turkish.py --prose FOLDER --english FOLDER --base tokenizer.json

Learned on nine lines of ten, measured on the tenth, each line a document. Tokens per word with an
apostrophe count the words of the measured lines that have one, apostrophes straightened everywhere.
"""

import argparse
import re
from pathlib import Path
from typing import Any

import measuring
import msgspec
import numpy as np

from tezgah.tokenizer.measure import changed_words, measure
from tezgah.tokenizer.settings import Split
from tezgah.tokenizer.tokenizer import Tokenizer

APOSTROPHE_WORD = re.compile(r"\w+'\w+")


def lines_of(folder: Path) -> list[str]:
    """The lines of every .txt file."""
    return [line for path in sorted(folder.glob("*.txt")) for line in path.read_text("utf-8").splitlines()]


def apostrophes(tokenizer: Tokenizer, texts: list[str]) -> float:
    """Tokens per word with an apostrophe, each with a space before it."""
    words = [" " + word for text in texts for word in APOSTROPHE_WORD.findall(text)]
    _, offsets = tokenizer.encode_batch(words)
    return float(np.diff(offsets).mean())


def extension(base: Path, learned: list[str], held_out: list[str], english: list[str], add: int) -> dict[str, Any]:
    """A foreign tokenizer before and after."""
    old = Tokenizer.load(base)
    new = old.extend(learned, add)
    before, after = (measure(each, held_out) for each in (old, new))
    return {
        "added": new.vocab_size - old.vocab_size,
        "before": msgspec.to_builtins(before),
        "after": msgspec.to_builtins(after),
        "english_words_changed": changed_words(old, new, english),
    }


def splits(learned: list[str], held_out: list[str], vocab_size: int) -> dict[str, dict[str, float]]:
    """New tokenizers by two splits."""
    straight = [line.replace("’", "'") for line in held_out]
    found: dict[str, dict[str, float]] = {}
    names: tuple[Split, ...] = ("turkish-safe", "gpt2")
    for split in names:
        made = Tokenizer.train([line.replace("’", "'") for line in learned], vocab_size, split)
        found[split] = {
            "tokens_per_apostrophe_word": apostrophes(made, straight),
            "bytes_per_token": measure(made, straight).bytes_per_token,
        }
    return found


def main() -> None:
    arguments = parser().parse_args()
    begun = measuring.conditions()
    lines = lines_of(arguments.prose)
    learned, held_out = [line for k, line in enumerate(lines) if k % 10], lines[::10]
    english = [path.read_text("utf-8") for path in sorted(arguments.english.iterdir())]
    grown = extension(arguments.base, learned, held_out, english, arguments.add)
    cut = splits(learned, held_out, arguments.vocab_size)
    before, after = grown["before"], grown["after"]
    ratios = [after[name] / before[name] for name in ("bytes_per_token", "tokens_per_word")]
    table = measuring.markdown_table(
        ["tokenizer", "bytes per token", "tokens per word", "tokens per word with an apostrophe"],
        [
            [arguments.base.stem, f"{before['bytes_per_token']:.3f}", f"{before['tokens_per_word']:.3f}", "–"],
            [
                f"{arguments.base.stem} + {grown['added']:,}",
                f"{after['bytes_per_token']:.3f} ({ratios[0]:.2f} ×)",
                f"{after['tokens_per_word']:.3f} ({ratios[1]:.2f} ×)",
                "–",
            ],
            *(
                [
                    f"{arguments.vocab_size:,} ids, {split}",
                    f"{each['bytes_per_token']:.3f}",
                    "–",
                    f"{each['tokens_per_apostrophe_word']:.2f}",
                ]
                for split, each in cut.items()
            ),
        ],
    )
    table += f"\n\nEnglish words with other ids after extending: {100 * grown['english_words_changed']:.4f} %."
    title = "Turkish: an extended tokenizer, and the splits"
    measuring.write_results(
        arguments.results, "tokenizer_turkish", title, table, {"extension": grown, "splits": cut}, begun
    )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    description = (__doc__ or "").split("\n")[0]
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("--prose", type=Path, required=True, help="folder of Turkish .txt files")
    made.add_argument("--english", type=Path, required=True, help="folder of English files")
    made.add_argument("--base", type=Path, required=True, help="the tokenizer.json to extend")
    made.add_argument("--add", type=int, default=8_000, help="new tokens")
    made.add_argument("--vocab-size", type=int, default=16_000, help="ids of the new tokenizers")
    made.add_argument("--results", type=Path, default=measuring.RESULTS, help="folder for the results")
    return made


if __name__ == "__main__":
    main()
