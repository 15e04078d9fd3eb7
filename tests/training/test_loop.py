"""The loop's promises: equal training however a batch is divided, and refusals that save the work."""

import json
import math
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import tezgah.training.loop as loop
import tezgah.training.reader as reader
import tezgah.training.saving as checkpoints
import tezgah.training.step as step
from tezgah.errors import InputError
from tezgah.files import FullDisk
from tezgah.models.build import build_config, build_model
from tezgah.models.checkpoint import load_model
from tezgah.models.settings import ModelSettings
from tezgah.tokens.build import ShardWriter
from tezgah.tokens.index import FORMAT, SplitIndex, TokensIndex, write_index
from tezgah.tokens.sequences import Sequences
from tezgah.tokens.shards import TokenStream
from tezgah.training.checkpoint import save_checkpoint
from tezgah.training.journal import Journal
from tezgah.training.reader import Callbacks, Data
from tezgah.training.settings import TrainSettings
from tezgah.training.trackers import Trackers

SETTINGS = TrainSettings(
    steps=6, batch_size=4, device="cpu", compile=False, threads=1, precision="fp32", warmup_steps=0, checkpoint_steps=2
)
SHAPE = ModelSettings(n_layers=2, width=32, n_heads=2, context_length=16)


def write_tokens(folder: Path) -> None:
    """Ten documents of random ids, 101 tokens each with its separator."""
    folder.mkdir(parents=True)
    ids = np.random.default_rng(1).integers(1, 64, (10, 101))
    ids[:, 0] = 0
    shards = ShardWriter(folder, "train", "uint16", 500)
    shards.append(np.append(ids.reshape(-1), 0))
    shards.close()
    np.save(folder / "train-offsets.npy", np.arange(11) * 101)
    np.save(folder / "train-bytes.npy", np.full(10, 100))
    split = SplitIndex(documents=10, text_tokens=1000, bytes=1000, characters=1000, shards=tuple(shards.shards))
    index = TokensIndex(
        format=FORMAT, dtype="uint16", vocab_size=64, separator_id=0, tokenizer="", splits={"train": split}
    )
    write_index(folder, index)


def train(
    folder: Path,
    settings: TrainSettings = SETTINGS,
    fingerprint: str = "a recipe",
    reads_separately: bool = False,
    shape: ModelSettings = SHAPE,
) -> list[dict[str, object]]:
    """Train a tiny model in `folder`; the rows of its metrics."""
    if not (folder / "tokens").is_dir():
        write_tokens(folder / "tokens")
    vars(loop)["matrix_rate"] = lambda place: 1e12  # takes seconds, and is not what is tested here
    model = build_model(build_config(shape, 64), seed=1)
    sequences = Sequences(TokenStream(folder / "tokens", "train"), 16)
    callbacks = Callbacks(lambda model, place: {}, lambda model, place: [], lambda folder: None)
    data = Data(sequences, sequences, 0, reads_separately)
    loop.train(model, data, settings, folder, fingerprint, callbacks)
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def losses(rows: list[dict[str, object]]) -> list[object]:
    return [row["loss"] for row in rows[1:]]


def weights(folder: Path) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in load_model(folder / "model").parameters()])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    train(folder)
    return folder


def test_training_learns_and_counts(whole):
    rows = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(7))
    assert rows[6]["tokens"] == 6 * 4 * 16
    assert rows[6]["epoch"] == pytest.approx(6 * 4 / 63)  # 1,011 tokens make 63 sequences of 16 and a target
    assert rows[0]["validation_loss"] == pytest.approx(np.log(64), abs=0.05)
    assert rows[6]["train_eval_loss"] < rows[0]["train_eval_loss"]


def test_documents_are_learned_and_measured_separately_where_they_are_to_be(whole, tmp_path):
    rows = train(tmp_path, msgspec.structs.replace(SETTINGS, validation_batches=100), reads_separately=True)
    model, sequences = load_model(tmp_path / "model"), Sequences(TokenStream(tmp_path / "tokens", "train"), 16)
    ids, targets = map(torch.from_numpy, sequences.batch(np.arange(len(sequences))))
    total = 0.0
    for row, wanted in zip(ids, targets, strict=True):
        ends = [*torch.nonzero(row == 0).flatten().tolist(), 16]
        for start, end in zip([0, *ends], ends, strict=False):
            if start < end:
                total += float(model.loss(row[None, start:end], wanted[None, start:end]))
    assert rows[-1]["validation_loss"] == pytest.approx(total / targets.numel(), rel=1e-5)
    joined = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert losses(rows)[1:] != losses(joined)[1:]


def test_accumulating_passes_gives_the_same_training_to_rounding(whole, tmp_path):
    parts = train(tmp_path, msgspec.structs.replace(SETTINGS, micro_batch_size=1))
    rows = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert losses(parts) == pytest.approx(losses(rows), rel=1e-4)
    torch.testing.assert_close(weights(tmp_path), weights(whole), atol=2e-3, rtol=1e-3)


def test_two_processes_train_as_one_to_rounding(whole, tmp_path):
    write_tokens(tmp_path / "tokens")
    here = Path(__file__)
    code = f"import sys; sys.path.insert(0, {str(here.parent)!r}); import test_loop as t; t.train(t.Path(sys.argv[1]))"
    # the launcher keeps the meeting point open itself: a port found free beforehand may be taken by then
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    command = [*launcher, sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    both = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert losses(both) == pytest.approx(losses(rows), rel=1e-4)
    torch.testing.assert_close(weights(tmp_path), weights(whole), atol=2e-3, rtol=1e-3)


def test_rows_are_on_the_disk_before_the_checkpoint_after_them(tmp_path, monkeypatch):
    synced: list[int] = []  # rows on the disk, at each time that the metrics were put there
    fsync = os.fsync

    def counting(descriptor: int) -> None:
        fsync(descriptor)
        metrics = tmp_path / "metrics.jsonl"
        if metrics.exists() and os.path.samestat(os.fstat(descriptor), metrics.stat()):
            synced.append(len(metrics.read_text().splitlines()))

    def saving(run, snapshot, state, *rest):
        assert synced[-1:] == [state.step + 1]
        save_checkpoint(run, snapshot, state, *rest)

    monkeypatch.setattr(os, "fsync", counting)
    monkeypatch.setattr(checkpoints, "save_checkpoint", saving)
    train(tmp_path)
    assert synced == [3, 5, 7]


def test_a_full_disk_is_waited_for_and_nothing_is_lost(tmp_path, monkeypatch, capsys):
    whole = train(tmp_path / "whole")
    full = iter([True, False, True, True, False, False])
    monkeypatch.setattr("tezgah.training.space.SECONDS", 0.0)

    def saving(*arguments):
        if next(full):
            raise FullDisk("step-000002: the disk is full. Free some space and run the same command again.")
        save_checkpoint(*arguments)

    monkeypatch.setattr(checkpoints, "save_checkpoint", saving)
    assert losses(train(tmp_path / "full")) == losses(whole)
    said = capsys.readouterr().err
    assert said.count("step-000002: the disk is full. The write waits") == 2
    assert said.count("there is space again") == 2
    assert len(list((tmp_path / "full" / "checkpoints").glob("step-*"))) == 3


def test_training_goes_on_while_a_checkpoint_is_written_one_at_a_time(tmp_path, monkeypatch):
    written, begun = [], threading.Lock()

    def saving(run, snapshot, state, *rest):
        assert begun.acquire(blocking=False)  # never two at once
        if state.step == 2:
            while len((run / "metrics.jsonl").read_text().splitlines()) < 5:  # rows of 0 to 4: two steps more
                time.sleep(0.001)
        save_checkpoint(run, snapshot, state, *rest)
        written.append(state.step)
        begun.release()

    monkeypatch.setattr(checkpoints, "save_checkpoint", saving)
    train(tmp_path)
    assert written == [2, 4, 6]
    state = load_file(tmp_path / "checkpoints" / "step-000002" / "training_state" / "optimizer.safetensors")
    assert float(state["embedding.weight/step"]) == 2  # as it was, not as it is when it is written


def test_a_checkpoint_that_cannot_be_written_ends_training_soon(tmp_path, monkeypatch):
    def refused(run, snapshot, state, *rest):
        raise InputError("step-000002: cannot be written.")

    monkeypatch.setattr(checkpoints, "save_checkpoint", refused)
    with pytest.raises(InputError, match="step-000002: cannot be written"):
        train(tmp_path, msgspec.structs.replace(SETTINGS, steps=500, validation_steps=500))
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) < 100


def test_a_checkpoint_begun_before_training_fails_is_finished(tmp_path, monkeypatch):
    whole = step.Stepper.step

    def failing(self, number, steps):
        if number == 3:
            raise RuntimeError("an accident")
        return whole(self, number, steps)

    def slow(*arguments):
        time.sleep(0.2)
        save_checkpoint(*arguments)

    monkeypatch.setattr(checkpoints, "save_checkpoint", slow)
    monkeypatch.setattr(step.Stepper, "step", failing)
    with pytest.raises(RuntimeError, match="an accident"):
        train(tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000002"]


def test_a_row_that_does_not_fit_leaves_no_part_of_itself(tmp_path):
    journal = Journal(tmp_path, None, Trackers(SETTINGS))
    journal.add({"step": 0})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
        with pytest.raises(OSError, match="File too large"):
            journal.add({"step": 1, "loss": 1.0})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    journal.add({"step": 1})
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 0}\n{"step": 1}\n'


def test_a_larger_budget_goes_on_from_the_last_checkpoint(tmp_path, capsys):
    first = train(tmp_path, msgspec.structs.replace(SETTINGS, steps=4))
    second = train(tmp_path, msgspec.structs.replace(SETTINGS, steps=8))
    assert "resuming after step 4 of 8" in capsys.readouterr().err
    assert second[:5] == first
    assert [row["step"] for row in second] == list(range(9))


def test_a_smaller_budget_than_was_reached_takes_no_step_back(tmp_path, capsys):
    rows = train(tmp_path)
    assert train(tmp_path, msgspec.structs.replace(SETTINGS, steps=4)) == rows
    assert "resuming after step 6 of 6" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(tmp_path, capsys):
    rows = train(tmp_path)
    newest = tmp_path / "checkpoints" / "step-000006" / "model.safetensors"
    newest.write_bytes(newest.read_bytes()[:-8] + b"damaged!")
    assert losses(train(tmp_path)) == losses(rows)
    said = capsys.readouterr().err
    assert "step-000006/model.safetensors: damaged" in said
    assert "resuming after step 4 of 6" in said


def test_without_a_whole_checkpoint_nothing_is_begun_anew(tmp_path):
    train(tmp_path)
    for path in tmp_path.glob("checkpoints/*/training_state/state.json"):
        path.write_text("{")
    with pytest.raises(InputError, match="no checkpoint is whole"):
        train(tmp_path)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 7


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path):
    train(tmp_path)
    with pytest.raises(InputError, match="belong to another recipe"):
        train(tmp_path, fingerprint="another recipe")


def test_a_training_that_diverges_stops_before_it_spoils_the_weights(tmp_path):
    wild = msgspec.structs.replace(SETTINGS, learning_rate=1e30, muon_learning_rate=1e30, gradient_clip=0.0)
    with pytest.raises(InputError, match="training has diverged"):
        train(tmp_path, wild)
    for folder in (tmp_path / "checkpoints").glob("step-*"):
        assert all(torch.isfinite(parameter).all() for parameter in load_model(folder).parameters())
    batch = json.loads((tmp_path / "diverged.json").read_text())
    assert len(batch["ids"]) == SETTINGS.batch_size
    assert batch["loss"] == "nan" or batch["grad_norm"] in ("nan", "inf")


def test_a_step_without_a_number_is_left_out_when_asked(tmp_path, monkeypatch):
    settings = msgspec.structs.replace(SETTINGS, on_divergence="skip")
    whole = step.Stepper._clip
    norms = iter([1.0, math.inf, 1.0, 1.0, 1.0, 1.0])
    monkeypatch.setattr(step.Stepper, "_clip", lambda self: whole(self) * next(norms))
    rows = train(tmp_path, settings)
    assert [row.get("skipped", False) for row in rows[1:]] == [False, True, False, False, False, False]
    assert "loss" not in rows[2]
    monkeypatch.setattr(step.Stepper, "_clip", lambda self: math.nan)
    monkeypatch.setattr(step, "MOST_SKIPPED", 3)
    with pytest.raises(InputError, match="at step 3: training has diverged"):
        train(tmp_path / "again", settings)


def losses_at_readings(monkeypatch, losses):
    """Let the readings see these validation losses, one after another."""
    told = iter(losses)
    monkeypatch.setattr(
        reader, "loss_readings", lambda *arguments: {"validation_loss": next(told), "train_eval_loss": 1.0}
    )


def test_patience_ends_training_and_the_best_model_is_kept(tmp_path, monkeypatch):
    losses_at_readings(monkeypatch, [3.0, 2.0, 1.5, 1.6, 1.5, 1.4, 1.3])
    settings = msgspec.structs.replace(
        SETTINGS, steps=20, validation_steps=1, patience=2, keep_best=True, checkpoint_steps=1, keep_checkpoints=9
    )
    rows = train(tmp_path, settings)
    assert [row["step"] for row in rows] == [0, 1, 2, 3, 4]
    kept = load_file(tmp_path / "model" / "model.safetensors")
    of_step_2 = load_file(tmp_path / "checkpoints" / "step-000002" / "model.safetensors")
    assert all(torch.equal(kept[name], tensor) for name, tensor in of_step_2.items())


def test_patience_counts_on_where_training_was_cut(tmp_path, monkeypatch):
    settings = msgspec.structs.replace(SETTINGS, steps=20, validation_steps=1, patience=3, checkpoint_steps=1)
    losses_at_readings(monkeypatch, [3.0, 2.0, 2.5])
    with pytest.raises(StopIteration):
        train(tmp_path, settings)
    losses_at_readings(monkeypatch, [2.4, 2.3, 1.0])
    assert [row["step"] for row in train(tmp_path, settings)] == [0, 1, 2, 3, 4]


def test_a_batch_that_does_not_divide_is_refused(tmp_path):
    with pytest.raises(InputError, match="batch_size 4 is not a multiple"):
        train(tmp_path, msgspec.structs.replace(SETTINGS, micro_batch_size=3))


def test_minutes_become_steps_once(tmp_path, monkeypatch):
    monkeypatch.setattr(step, "measure_step", lambda step, agree: 1.5)
    few = msgspec.structs.replace(SETTINGS, steps=None, minutes=0.2, validation_steps=100)
    rows = train(tmp_path, few)
    plan = json.loads((tmp_path / "checkpoints" / "plan.json").read_text())
    assert plan["step_seconds"] == 1.5
    assert 4 <= len(rows) - 1 <= 8  # 12 seconds less what was spent
    monkeypatch.setattr(step, "measure_step", lambda step, agree: 1e-9)
    assert train(tmp_path, few) == rows  # not measured again


def takes(seconds):
    """A measurement of a step that takes two, and comes to so many seconds."""

    def measure(step, agree):
        step()
        step()
        return seconds

    return measure


@pytest.mark.parametrize(("reading_steps", "steps"), [(0, 14), (3, 8)])
def test_going_on_for_minutes_adds_what_fits_in_those_left_and_keeps_the_optimizer(
    tmp_path, monkeypatch, reading_steps, steps
):
    few = msgspec.structs.replace(SETTINGS, steps=4, validation_steps=reading_steps)
    for folder in ("minutes", "steps"):
        train(tmp_path / folder, few)
    monkeypatch.setattr(step, "measure_step", takes(10.0))
    longer = msgspec.structs.replace(few, steps=None, minutes=0.8)  # four steps, or as many as ten readings
    told_minutes = train(tmp_path / "minutes", longer)
    assert len(told_minutes) - 1 == steps
    plan = json.loads((tmp_path / "minutes" / "checkpoints" / "plan.json").read_text())
    assert plan["step"] == 4
    assert plan["spent"] > told_minutes[4]["seconds"]
    assert plan["reading_seconds"] > 0
    told_steps = train(tmp_path / "steps", msgspec.structs.replace(few, steps=steps))
    assert losses(told_minutes) == losses(told_steps)
    assert torch.equal(weights(tmp_path / "minutes"), weights(tmp_path / "steps"))
    monkeypatch.setattr(step, "measure_step", takes(1e-9))
    assert train(tmp_path / "minutes", longer) == told_minutes  # not measured again


def test_a_training_killed_before_its_first_checkpoint_plans_no_other(tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    few = msgspec.structs.replace(SETTINGS, steps=None, minutes=0.2, validation_steps=100)
    monkeypatch.setattr(step, "measure_step", takes(1.5))
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save_checkpoint", killed)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, few)
    plan = tmp_path / "checkpoints" / "plan.json"
    left = plan.read_text()
    monkeypatch.setattr(step, "measure_step", takes(3.0))
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save_checkpoint", killed)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, few)
    assert plan.read_text() == left  # the same training keeps its number of steps
    rows = train(tmp_path, few, fingerprint="another recipe")
    assert json.loads(plan.read_text())["step_seconds"] == 3.0
    assert 2 <= len(rows) - 1 <= 4


def test_a_plan_that_is_none_is_one_line(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "plan.json").write_text('{"format": 1, "spent": "long"}')
    with pytest.raises(InputError, match=r"plan\.json: .*Remove the file"):
        train(tmp_path, msgspec.structs.replace(SETTINGS, steps=None, minutes=0.2))
