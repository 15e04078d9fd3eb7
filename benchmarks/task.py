"""What the contestants of training_step.py train: a model of a size, on random ids."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from tezgah.models.config import ModelConfig


@dataclass(frozen=True)
class Task:
    """What every contestant trains: GPT-2's shape at this size, or tezgah's default."""

    data: str = ""  # the folder that `write_data` filled
    nanogpt: str = ""  # a checkout of nanoGPT
    nanochat: str = ""  # a checkout of nanochat
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int = 2
    compiled: bool = True
    n_layers: int = 6
    width: int = 384
    n_heads: int = 6
    context_length: int = 256
    batch_size: int = 16
    vocab_size: int = 12_544

    @property
    def batch_tokens(self) -> int:
        """Tokens of a step."""
        return self.batch_size * self.context_length


def config_of(task: Task, shape: Literal["gpt2", "qwen3"]) -> ModelConfig:
    """Our configuration of the task."""
    from tezgah.models.build import build_config
    from tezgah.models.settings import ModelSettings

    settings = ModelSettings(
        shape=shape,
        n_layers=task.n_layers,
        width=task.width,
        n_heads=task.n_heads,
        context_length=task.context_length,
    )
    return build_config(settings, task.vocab_size)


def write_data(folder: Path, vocab_size: int, documents: int, length: int = 1023, shard_tokens: int = 1 << 60) -> None:
    """Random ids, documents of `length`: as a tokens folder of ours, and as the train.bin that nanoGPT reads."""
    from tezgah.tokens.build import ShardWriter
    from tezgah.tokens.index import FORMAT, SplitIndex, TokensIndex, dtype_of, write_index

    ids = np.random.default_rng(1).integers(1, vocab_size, (documents, length + 1))
    ids[:, 0] = 0  # the separator
    stream = np.append(ids.reshape(-1), 0)
    tokens = folder / "tokens"
    tokens.mkdir(parents=True)
    shards = ShardWriter(tokens, "train", dtype_of(vocab_size), shard_tokens)
    shards.append(stream)
    shards.close()
    np.save(tokens / "train-offsets.npy", np.arange(documents + 1) * (length + 1))
    np.save(tokens / "train-bytes.npy", np.full(documents, length))
    size = documents * length
    split = SplitIndex(documents=documents, text_tokens=size, bytes=size, characters=size, shards=tuple(shards.shards))
    index = TokensIndex(
        format=FORMAT,
        dtype=dtype_of(vocab_size),
        vocab_size=vocab_size,
        separator_id=0,
        tokenizer="random",
        splits={"train": split},
    )
    write_index(tokens, index)
    stream.astype(np.uint16).tofile(folder / "train.bin")
