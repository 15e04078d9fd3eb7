"""A language model from scratch, through the Python door alone.

    python examples/from_scratch.py [FOLDER_OF_TEXT] [STEPS]

Without a folder it reads the modules of Python's own library. It leaves runs/from_scratch/, whose
model/ `transformers` opens too; the same command goes on where it was stopped.
"""

import os
import sys
from pathlib import Path

import tezgah


def main(folder: Path, steps: int, run: Path) -> None:
    # Documents: any strings. A tenth is put away to measure with.
    texts = [
        path.read_text(encoding="utf-8", errors="replace") for path in sorted(folder.glob("*.*")) if path.is_file()
    ]
    held_out, training = texts[::10], [text for number, text in enumerate(texts) if number % 10]

    # A tokenizer: the words of these texts, cut into the pieces that occur most often.
    tokenizer = tezgah.Tokenizer.train(training, vocab_size=2048)
    ids = tokenizer.encode("def area(width, height):")
    print(f"{tokenizer.vocab_size:,} ids; 'def area(width, height):' is {[tokenizer.decode([each]) for each in ids]}")

    # A model: Qwen3's shape, small.
    model = tezgah.new_model(tokenizer.vocab_size, n_layers=4, width=128, context_length=128)
    print(f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters")

    # What it knows before and after.
    before = tezgah.evaluate(model, tokenizer, held_out)
    tezgah.train(model, tokenizer, training, folder=run, steps=steps, batch_size=8)
    after = tezgah.evaluate(model, tokenizer, held_out)
    print(f"held-out bits per byte: {before.bits_per_byte:.3f} → {after.bits_per_byte:.3f}")

    # What it writes.
    for text in tezgah.generate(model, tokenizer, "def area(", temperature=0.8, top_p=0.95, n=2):
        print(f"{'=' * 80}\n{text}")


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.__file__))
    main(folder, int(sys.argv[2]) if len(sys.argv) > 2 else 300, Path("runs/from_scratch"))
