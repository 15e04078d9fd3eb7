"""Models that fit a test, and texts whose classes their words tell."""

import json
from pathlib import Path
from typing import Any

from tezgah.models.build import build_config, build_model
from tezgah.models.checkpoint import save_model
from tezgah.models.classifier import fresh_classifier
from tezgah.models.config import EncoderConfig, Head
from tezgah.models.settings import ModelSettings
from tezgah.nn.config import StackConfig
from tezgah.tokenizer.tokenizer import Tokenizer

WORDS = {"spor": ("maç", "gol", "top", "takım"), "haber": ("seçim", "oy", "yasa", "meclis")}
QUICK: dict[str, Any] = {"epochs": 8, "batch_size": 8, "lr": 0.01, "dropout": 0.0, "patience": 8}
CONTEXT = 32


def rows(count: int = 48) -> list[dict[str, Any]]:
    """Texts of two classes, each text once, the second class's longer."""
    found = []
    for number in range(count):
        label = ("spor", "haber")[number % 2]
        words = WORDS[label]
        text = f"{words[number // 2 % 4]} {words[number // 8 % 4]} {'bir ' * (number % 3)}{number}"
        found.append({"text": text, "second": words[0], "label": label})
    return found


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def encoder_folder(folder: Path, head: Head = "masked_lm") -> Path:
    """A BERT of random weights with a WordPiece of these texts."""
    tokenizer = Tokenizer.train([row["text"] for row in rows()], vocab_size=80, algorithm="wordpiece")
    stack = StackConfig(
        n_layers=1,
        width=16,
        n_heads=2,
        n_kv_heads=2,
        head_dim=8,
        mlp_width=32,
        norm="layer",
        norm_epsilon=1e-12,
        mlp="gelu",
        norm_first=False,
        causal=False,
    )
    config = EncoderConfig("bert", tokenizer.vocab_size, CONTEXT, stack, n_token_types=2, head=head)
    save_model(fresh_classifier(config, seed=3), folder)
    tokenizer.save(folder)
    return folder


def modern_folder(folder: Path) -> Path:
    """A ModernBERT of random weights, one layer of two local, with a byte-level BPE of these texts that has [MASK]."""
    tokenizer = Tokenizer.train([row["text"] for row in rows()], vocab_size=300, mask=True)
    settings = ModelSettings(objective="mlm", n_layers=2, width=16, n_heads=2, context_length=CONTEXT)
    model = build_model(build_config(settings, tokenizer.vocab_size), seed=3)
    save_model(model, folder, tokenizer.separator_id)
    tokenizer.save(folder, CONTEXT)
    return folder


def causal_folder(folder: Path, shape: Any = "qwen3") -> Path:
    """A causal model of random weights with a byte-level BPE of these texts."""
    tokenizer = Tokenizer.train([row["text"] for row in rows()], vocab_size=300)
    settings = ModelSettings(shape=shape, n_layers=1, width=16, n_heads=2, context_length=CONTEXT)
    model = build_model(build_config(settings, tokenizer.vocab_size), seed=3)
    save_model(model, folder, tokenizer.separator_id)
    tokenizer.save(folder)
    return folder
