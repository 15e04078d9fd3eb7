"""Ten thousand shards of 1 KB, and one of 4 GB: both are read like any other, and train."""

import json
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

import tezgah.training.loop as loop
from tezgah.errors import InputError
from tezgah.models.build import build_config, build_model
from tezgah.models.settings import ModelSettings
from tezgah.tokens import shards as shards_module
from tezgah.tokens.build import ShardWriter
from tezgah.tokens.index import FORMAT, SplitIndex, TokensIndex, write_index
from tezgah.tokens.npy import HEADER_BYTES, header
from tezgah.tokens.sequences import Sequences
from tezgah.tokens.shards import TokenStream
from tezgah.training.reader import Callbacks, Data
from tezgah.training.settings import TrainSettings

SHARD_TOKENS = 448  # with its header 1,024 bytes


def write_rest(folder: Path, tokens: int, shards: tuple[int, ...]) -> TokenStream:
    """What stands beside the shards of a stream that is one document."""
    np.save(folder / "train-offsets.npy", np.array([0, tokens - 1]))
    np.save(folder / "train-bytes.npy", np.array([tokens - 2]))
    split = SplitIndex(documents=1, text_tokens=tokens - 2, bytes=tokens - 2, characters=tokens - 2, shards=shards)
    fields = {"dtype": "uint16", "vocab_size": 64, "separator_id": 0, "tokenizer": ""}
    write_index(folder, TokensIndex(format=FORMAT, splits={"train": split}, **fields))  # type: ignore[arg-type]
    return TokenStream(folder, "train")


def write_shards(folder: Path, ids: np.ndarray, shard_tokens: int) -> TokenStream:
    folder.mkdir()
    writer = ShardWriter(folder, "train", "uint16", shard_tokens)
    writer.append(ids)
    writer.close()
    return write_rest(folder, len(ids), tuple(writer.shards))


def train(stream: TokenStream, run: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The losses of a tiny training on the stream."""
    monkeypatch.setattr(loop, "matrix_rate", lambda place: 1e12)
    settings = TrainSettings(
        steps=4, batch_size=2, device="cpu", compile=False, threads=1, checkpoint_steps=0, validation_batches=1
    )
    shape = ModelSettings(n_layers=1, width=16, n_heads=1, context_length=16)
    model = build_model(build_config(shape, 64), seed=1)
    sequences = Sequences(stream, 16)
    callbacks = Callbacks(lambda model, place: {}, lambda model, place: [], lambda folder: None)
    loop.train(model, Data(sequences, sequences, 0), settings, run, "a recipe", callbacks)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows[1:]]


@pytest.fixture
def few_files() -> Iterator[None]:
    """A process that may hold 256 files open, as on macOS."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def open_files() -> int:
    return len(os.listdir("/dev/fd"))


def test_ten_thousand_shards_of_1_kb_train_as_one_does(
    tmp_path: Path, few_files: None, monkeypatch: pytest.MonkeyPatch
):
    ids = np.random.default_rng(1).integers(1, 64, 10_000 * SHARD_TOKENS)
    ids[[0, -1]] = 0
    whole = write_shards(tmp_path / "one", ids, len(ids))
    before = open_files()
    many = write_shards(tmp_path / "many", ids, SHARD_TOKENS)
    assert len(many.index.splits["train"].shards) == 10_000
    assert (tmp_path / "many" / "train-09999.npy").stat().st_size == 1_024
    sequences = [Sequences(each, 100) for each in (whole, many)]
    for first in (0, 44_000, 10**9):
        assert all(map(np.array_equal, *(each.take(1, first, 600) for each in sequences)))
    assert open_files() - before <= 256 // 4 + 3  # and offsets, bytes, and the one shard of the other
    losses = [train(each, tmp_path / f"run-{name}", monkeypatch) for name, each in (("one", whole), ("many", many))]
    assert losses[0] == losses[1]


def test_one_shard_of_4_gb_trains_and_is_read_beyond_2_to_the_31(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tokens = 2**31 + 1_001
    path = tmp_path / "train-00000.npy"
    with path.open("wb") as file:
        file.write(header(np.dtype("<u2"), tokens))
        file.truncate(HEADER_BYTES + 2 * tokens)  # nothing is on the disk but what is written below
        file.seek(HEADER_BYTES + 2 * (tokens - 1_001))
        file.write((np.arange(1_001) % 63 + 1).astype("<u2").tobytes())
    assert path.stat().st_size > 2**32
    assert path.stat().st_blocks < 2**20, "the disk of the test takes no sparse files"
    stream = write_rest(tmp_path, tokens, (tokens,))
    sequences = Sequences(stream, 16)
    assert len(sequences) == (tokens - 1) // 16 > 2**27
    ids, targets = sequences.batch(np.array([2**31 // 16 + 3, len(sequences) - 1, 0]))
    assert ids[0].tolist() == [(number % 63) + 1 for number in range(48, 64)]
    assert targets[0].tolist() == [(number % 63) + 1 for number in range(49, 65)]
    assert targets[1, -1] == 1_000 // 16 * 16 % 63 + 1
    assert not ids[2].any()
    closest = Sequences(stream, 16, stride=1)
    assert len(closest) == tokens - 16 > 2**31
    far = closest.batch(np.array([2**31 + 5]))[0]
    assert far.tolist() == [[number + 1 for number in range(5, 21)]]
    assert closest.take(1, 2**33, 3)[0].shape == (3, 16)
    assert all(np.isfinite(train(stream, tmp_path / "run", monkeypatch)))


def test_shards_that_were_let_go_are_mapped_again_and_what_was_read_of_them_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shards_module, "most_mapped", lambda: 2)
    ids = np.arange(100) % 50
    stream = write_shards(tmp_path / "tokens", ids, 7)
    first = stream[0:5]
    for start in range(0, 95, 7):
        assert stream[start : start + 5].tolist() == ids[start : start + 5].tolist()
    assert stream[20:90].tolist() == ids[20:90].tolist()
    assert first.tolist() == ids[0:5].tolist()
    (tmp_path / "tokens" / "train-00000.npy").unlink()
    with pytest.raises(InputError, match="train-00000.npy: cannot be read any more"):
        stream[0:5]


def test_threads_read_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shards_module, "most_mapped", lambda: 2)
    ids = np.arange(3_000) % 64
    stream = write_shards(tmp_path / "tokens", ids, 10)
    wrong: list[int] = []

    def read(seed: int) -> None:
        starts = np.random.default_rng(seed).integers(0, 2_900, 400).tolist()
        wrong.extend(
            start for start in starts if not np.array_equal(stream[start : start + 35], ids[start : start + 35])
        )

    threads = [Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_shard_that_numpy_wrote_anew_is_read_too(tmp_path: Path):
    ids = np.arange(40)
    stream = write_shards(tmp_path / "tokens", ids, 10)
    path = tmp_path / "tokens" / "train-00001.npy"
    numbers = np.load(path)
    with path.open("wb") as file:
        np.lib.format.write_array(file, numbers, version=(2, 0))
    assert path.read_bytes()[:HEADER_BYTES] != header(np.dtype("<u2"), 10)
    stream = TokenStream(tmp_path / "tokens", "train")
    assert stream[:].tolist() == ids.tolist()
