"""A run folder such as training leaves: curves that fall like real ones, a card, measures, a log."""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path

import pytest

CARD = """# Corpus card

From `stdlib`: 1,012 texts came in in 1,034 files (14,890,112 bytes read), 998 stayed. They make 1,120 documents.

## Splits

| split | documents | bytes | share of bytes |
| --- | --- | --- | --- |
| train | 1,004 | 12,912,004 | 89.9% |
| validation | 116 | 1,450,031 | 10.1% |

## Dropped

| reason | texts | meaning | examples |
| --- | --- | --- | --- |
| duplicate | 14 | the same text came before | `encodings/cp437.py`, `a\\|b.py` |
"""
RECIPE = """[corpus]
source = "stdlib"

[model]
shape = "qwen3"
n_layers = 6
width = 256
n_heads = 4
context_length = 256

[train]
minutes = 6
batch_size = 8
gradient_clip = 1.0
"""
EVALUATION = {
    "format": 1,
    "fingerprint": "0" * 64,
    "loss": 3.391,
    "perplexity": 29.7,
    "bits_per_byte": 1.347,
    "tokens": 402_113,
    "bytes": 1_450_031,
    "documents": 116,
    "baselines": {"gzip": 1.912, "xz": 1.508, "xz_primed": 1.091},
}
MEASURES = {
    "documents": 116,
    "bytes": 1_450_031,
    "tokens": 401_997,
    "words": 190_442,
    "vocab_size": 8_192,
    "bytes_per_token": 3.607,
    "tokens_per_word": 2.11,
    "words_continued": 0.404,
    "vocabulary_used": 0.9127,
    "vocabulary_rare": 0.2204,
    "tokens_unknown": 0.0,
    "tokens_partial": 0.0004,
    "longest_tokens": ["                                ", "--------", "NotImplementedError"],
}
VERSIONS = {"format": 1, "python": "3.11.7", "platform": "Linux-6", "packages": {"torch": "2.13.0", "numpy": "2.3.1"}}
LOG = [
    {"time": "2031-03-01T10:00:00+0000", "event": "start", "command": ["tezgah", "run", "recipes/stdlib-code.toml"]},
    {"time": "2031-03-01T10:00:09+0000", "event": "message", "message": "corpus: begins"},
    {"time": "2031-03-01T10:01:02+0000", "event": "warning", "message": "no compiler was found: going on without"},
    {"time": "2031-03-01T10:07:12+0000", "event": "done", "seconds": 432.1},
]
SAMPLES = (
    "def area_of_rectangle(((((((((((((((",
    "def area_of_rectangle(self, self, self):\n    self.self = self\n",
    "def area_of_rectangle(width, height):\n    if width < 0:\n        raise ValueError('width')\n    return height\n",
)


def metrics(steps: int, readings: int = 10) -> list[dict[str, object]]:
    """Rows of a run: a power law with noise, `readings` readings on the way and one before it."""
    chance = random.Random(7)
    rows: list[dict[str, object]] = [{"step": 0, "tokens": 0, "epoch": 0.0, "seconds": 2.1, **_reading(0.0, steps)}]
    for step in range(1, steps + 1):
        share = step / steps
        row: dict[str, object] = {
            "step": step,
            "tokens": 2_048 * step,
            "epoch": step / 1_700,
            "seconds": 2.1 + 358 * share,
            "loss": _loss(share) - 0.05 + chance.gauss(0, 0.12),
            "learning_rate": 3e-3 * min(1, step / 20, (1 - share) / 0.4),
            "grad_norm": math.exp(chance.gauss(-0.9, 0.25)) + 3 * math.exp(-step / 15),
            "tokens_per_second": chance.gauss(9_200, 160) if chance.random() > 0.03 else 7_000,
        }
        if readings and (step % max(1, steps // readings) == 0 or step == steps):
            row |= _reading(share, steps)
        rows.append(row)
    return rows


def _loss(share: float) -> float:
    """From ln(8,192) towards 3.4, as losses fall over the share of a run."""
    return 3.05 + (math.log(8_192) - 3.05) * math.pow(1 + 60 * share, -0.65) - 0.08 * max(0, share - 0.6) / 0.4


def _reading(share: float, steps: int) -> dict[str, object]:
    loss = _loss(share)
    text = SAMPLES[min(2, int(share * 4))]
    return {
        "validation_loss": loss,
        "train_eval_loss": loss - 0.12 * share,
        "perplexity": math.exp(loss),
        "bits_per_byte": loss / math.log(2) / 3.607 * 0.995,
        "samples": [{"prompt": "def area_of_rectangle(", "text": text}],
    }


def write_run(run: Path, rows: list[dict[str, object]]) -> Path:
    """A finished run folder with these rows."""
    for folder in ("corpus", "tokenizer"):
        (run / folder).mkdir(parents=True)
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LOG))
    (run / "recipe.toml").write_text(RECIPE)
    (run / "versions.json").write_text(json.dumps(VERSIONS))
    (run / "evaluation.json").write_text(json.dumps(EVALUATION))
    (run / "corpus" / "card.md").write_text(CARD)
    (run / "tokenizer" / "measures.json").write_text(json.dumps(MEASURES))
    return run


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Makes run folders that came to their end, by name."""

    def make(name: str = "stdlib-code", steps: int = 300, readings: int = 10) -> Path:
        return write_run(tmp_path / name, metrics(steps, readings))

    return make


@pytest.fixture
def run(make_run: Callable[..., Path]) -> Path:
    """One such run folder."""
    return make_run()
