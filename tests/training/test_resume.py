"""A training that is killed and started again ends with the bits of one that was not."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from tezgah.files import hash_file

# Twelve documents of random ids, a model with dropout, both algorithms of the optimizer, several epochs.
TRAINING = """
import sys
from pathlib import Path
import numpy as np
import tezgah.training.loop as loop
import tezgah.training.reader as reader
from tezgah.models.build import build_config, build_model
from tezgah.models.checkpoint import load_model
from tezgah.models.settings import ModelSettings
from tezgah.tokens.build import ShardWriter
from tezgah.tokens.index import FORMAT, SplitIndex, TokensIndex, write_index
from tezgah.tokens.sequences import Sequences
from tezgah.tokens.shards import TokenStream
from tezgah.training.settings import TrainSettings

folder = Path(sys.argv[1])
if not (folder / "tokens").is_dir():
    (folder / "tokens").mkdir(parents=True)
    ids = np.random.default_rng(1).integers(1, 64, (12, 100))
    ids[:, 0] = 0
    shards = ShardWriter(folder / "tokens", "train", "uint16", 500)
    shards.append(np.append(ids.reshape(-1), 0))
    shards.close()
    np.save(folder / "tokens" / "train-offsets.npy", np.arange(13) * 100)
    np.save(folder / "tokens" / "train-bytes.npy", np.full(12, 99))
    split = SplitIndex(documents=12, text_tokens=1188, bytes=1188, characters=1188, shards=tuple(shards.shards))
    index = dict(format=FORMAT, dtype="uint16", vocab_size=64, separator_id=0, tokenizer="", splits={"train": split})
    write_index(folder / "tokens", TokensIndex(**index))

loop.matrix_rate = lambda place: 1e12  # takes seconds, and is not what is tested here
size = dict(shape="gpt2", n_layers=2, width=32, n_heads=2, context_length=16, dropout=0.1)
model = build_model(build_config(ModelSettings(**size), 64), seed=1)
sequences = Sequences(TokenStream(folder / "tokens", "train"), 16)
settings = TrainSettings(
    steps=160, batch_size=4, device="cpu", compile=False, threads=1,
    checkpoint_steps=20, keep_checkpoints=2, validation_steps=25, validation_batches=1,
)
callbacks = reader.Callbacks(lambda model, place: {}, lambda model, place: [], lambda folder: None)
loop.train(model, reader.Data(sequences, sequences, 0), settings, folder, "the recipe", callbacks)
load_model(folder / "model")
slow = {"torch._dynamo", "torch.distributed.tensor"}  # to import: seconds, for a compiler and divided tensors
print("imported", sorted(slow & set(sys.modules)), file=sys.stderr)
"""


EACH = 20  # steps from one checkpoint to the next, as TRAINING has it


def start(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", TRAINING, str(folder)], stderr=subprocess.PIPE, text=True)


def end(process: "subprocess.Popen[str]") -> str:
    """What it said, once it came to a good end."""
    said = process.communicate()[1]
    assert process.returncode == 0, said
    return said


def rows(folder: Path) -> list[str]:
    path = folder / "metrics.jsonl"
    return path.read_text().split("\n")[:-1] if path.exists() else []


def kill_at(step: int, folder: Path) -> int:
    """Train until this step's row and the checkpoint before it stand, then kill; the newest checkpoint's step."""
    with start(folder) as process:
        while len(rows(folder)) <= step or newest(folder) < step // EACH * EACH:  # it is written beside the training
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    return newest(folder)


def newest(folder: Path) -> int:
    return max((int(path.name[5:]) for path in folder.glob("checkpoints/step-*")), default=0)


def without_clock(line: str) -> dict[str, object]:
    return {key: value for key, value in json.loads(line).items() if key not in ("seconds", "tokens_per_second")}


def test_two_kills_leave_no_trace_in_the_bits(tmp_path: Path) -> None:
    with start(tmp_path / "whole") as whole:
        first = kill_at(45, tmp_path / "killed")
        between = rows(tmp_path / "killed")
        second = kill_at(95, tmp_path / "killed")
        assert rows(tmp_path / "killed")[: first + 1] == between[: first + 1]  # kept to the byte, seconds included
        assert rows(tmp_path / "killed")[first + 1] != between[first + 1]  # done again from here on
        with start(tmp_path / "killed") as process:
            assert f"resuming after step {second} of 160" in end(process)
        assert "imported []" in end(whole)
    assert 40 <= first < 80 <= second
    for name in ("model/model.safetensors", "checkpoints/step-000160/training_state/optimizer.safetensors"):
        assert hash_file(tmp_path / "killed" / name) == hash_file(tmp_path / "whole" / name), name
    expected, found = (list(map(without_clock, rows(tmp_path / run))) for run in ("whole", "killed"))
    assert found == expected
    assert [row["step"] for row in found] == list(range(161))
