"""Several processes, sharded or not, train as one does; whatever they leave, any number of them goes on with."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training import scale_out, test_loop
from tezgah.files import hash_file
from tezgah.models.checkpoint import load_model

SCRIPT = Path(scale_out.__file__)
ALGORITHMS = ("muon", "adamw", "sgd")
PASSES = {"micro_batch_size": 1, "recompute": True, "label_smoothing": 0.1, "z_loss": 1e-3}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]


def launched(jobs: list[dict[str, Any]], launcher: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    """The jobs, done by one start of a launcher."""
    path = folder / "jobs.json"
    path.write_text(json.dumps([{**job, "folder": str(job["folder"])} for job in jobs]))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [*launcher, str(SCRIPT), str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=environment)


def job(folder: Path, **train: Any) -> dict[str, Any]:
    """A training in `folder` whose settings differ so from the script's."""
    if not (folder / "tokens").is_dir():
        test_loop.write_tokens(folder / "tokens")
    return {"folder": folder, "train": train}


def begun_by(source: Path, folder: Path, step: int = 6) -> Path:
    """A run that stands at a checkpoint of another one."""
    shutil.copytree(source / "checkpoints" / f"step-{step:06d}", folder / "checkpoints" / f"step-{step:06d}")
    shutil.copy(source / "metrics.jsonl", folder / "metrics.jsonl")
    return folder


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def losses(folder: Path) -> list[float]:
    return [row["loss"] for row in rows(folder)[1:]]


def weights(folder: Path) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in load_model(folder).parameters()])


def difference(one: Path, other: Path, step: int = 6) -> float:
    """The largest, of two models' weights after six steps, or so many."""
    first, second = (weights(folder / "checkpoints" / f"step-{step:06d}") for folder in (one, other))
    return float((first - second).abs().max())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process made, then two, then three, each as far as the others need it."""
    home = tmp_path_factory.mktemp("scale-out")
    for name in ALGORITHMS:
        scale_out.do(job(home / f"1-{name}", optimizer=name))
    scale_out.do(job(home / "1-passes", **PASSES))
    two = [
        job(home / f"2-{how}-{name}", optimizer=name, sharding=how) for how in ("none", "full") for name in ALGORITHMS
    ]
    two += [
        job(home / "2-passes", sharding="full", **PASSES),
        job(begun_by(home / "1-muon", home / "1-to-2"), sharding="full"),
        {**job(home / "2-dropout", sharding="full", precision="bf16"), "model": {"shape": "gpt2", "dropout": 0.1}},
        job(home / "2-best", sharding="full", validation_steps=5, keep_best=True, steps=10),
    ]
    said = launched(two, [*TORCHRUN, "--nproc-per-node", "2"], home)
    assert said.returncode == 0, said.stderr
    damaged = begun_by(home / "2-full-muon", begun_by(home / "2-full-muon", home / "damaged", 12))
    part = damaged / "checkpoints" / "step-000012" / "training_state" / "part-00001-of-00002.safetensors"
    part.write_bytes(part.read_bytes()[:-8] + b"damaged!")
    three = [job(home / f"3-{how}-muon", sharding=how) for how in ("none", "full")]
    three += [
        job(home / "3-full-adamw", optimizer="adamw", sharding="full"),
        job(begun_by(home / "2-full-muon", home / "2-to-3"), sharding="full"),
        job(begun_by(home / "2-full-muon", home / "2-to-3-whole"), sharding="none"),
        job(damaged, sharding="full"),
    ]
    said = launched(three, [*TORCHRUN, "--nproc-per-node", "3"], home)
    assert said.returncode == 0, said.stderr
    (home / "said").write_text(said.stderr)
    return home


@pytest.mark.parametrize("name", ["2-none-muon", "2-full-muon", "3-none-muon", "3-full-muon"])
def test_muon_takes_the_same_steps_in_any_number_of_processes(home: Path, name: str) -> None:
    assert difference(home / name, home / "1-muon") < 1e-6
    assert losses(home / name) == pytest.approx(losses(home / "1-muon"), rel=1e-5)


@pytest.mark.parametrize("name", ["2-none-adamw", "2-full-adamw", "3-full-adamw", "2-none-sgd", "2-full-sgd"])
def test_adamw_and_sgd_take_the_same_steps_in_any_number_of_processes(home: Path, name: str) -> None:
    alone = home / f"1-{name.rpartition('-')[2]}"
    assert difference(home / name, alone) < 1e-6
    assert losses(home / name) == pytest.approx(losses(alone), rel=1e-5)


def test_passes_recomputation_and_the_losses_additions_are_as_in_one_process(home: Path) -> None:
    assert difference(home / "2-passes", home / "1-passes") < 1e-6
    assert losses(home / "2-passes") == pytest.approx(losses(home / "1-passes"), rel=1e-5)


@pytest.mark.parametrize("name", ["1-to-2", "2-to-3", "2-to-3-whole", "damaged"])
def test_a_checkpoint_of_one_layout_opens_in_another(home: Path, name: str) -> None:
    assert difference(home / name, home / "1-muon", 12) < 1e-6
    assert losses(home / name) == pytest.approx(losses(home / "1-muon"), rel=1e-5)


@pytest.mark.parametrize("name", ["2-full-muon", "3-full-muon"])
def test_one_process_goes_on_from_parts(home: Path, tmp_path: Path, name: str) -> None:
    scale_out.do(job(begun_by(home / name, tmp_path)))
    assert difference(tmp_path, home / "1-muon", 12) < 1e-6


def test_a_damaged_part_is_named_and_the_checkpoint_before_it_used(home: Path) -> None:
    said = (home / "said").read_text().split("job damaged\n")[1]
    assert "step-000012/training_state/part-00001-of-00002.safetensors: damaged" in said
    assert said.count("Trying the checkpoint before it") == 1
    assert "resuming after step 6 of 20" in said


def test_the_parts_are_the_whole(home: Path) -> None:
    folder = home / "3-full-muon" / "checkpoints" / "step-000020"
    inner = folder / "training_state"
    parts = [load_file(inner / f"part-0000{number}-of-00003.safetensors") for number in range(3)]
    whole = load_file(home / "1-muon" / "checkpoints" / "step-000020" / "training_state" / "optimizer.safetensors")
    model = dict(load_model(folder).named_parameters())
    assert set(parts[0]) == set(whole) | set(model)
    for name, tensor in {**whole, **model}.items():
        joined = torch.cat([part[name] for part in parts]) if tensor.ndim else parts[0][name]
        torch.testing.assert_close(joined, tensor.detach(), atol=1e-4, rtol=1e-3)
    assert [len(part["stack.blocks.0.attention.query_norm.weight"]) for part in parts] == [2, 2, 0]
    state = json.loads((inner / "state.json").read_text())
    assert {name: hash_file(folder / name) for name in state["hashes"]} == state["hashes"]
    assert len(state["hashes"]) == 7
    named = "model.safetensors"
    assert hash_file(home / "3-full-muon" / "model" / named) == hash_file(folder / named)


def test_sharded_training_measures_and_keeps_the_best_as_one_process_does(home: Path) -> None:
    expected, found = rows(home / "1-muon"), rows(home / "2-full-muon")
    for name in ("validation_loss", "train_eval_loss"):
        assert [row[name] for row in found if name in row] == pytest.approx(
            [row[name] for row in expected if name in row]
        )
    folders = (home / "2-best" / name for name in ("model", "checkpoints/best", "checkpoints/step-000010"))
    assert len({hash_file(folder / "model.safetensors") for folder in folders}) == 1


def test_dropout_and_16_bits_are_trained_with(home: Path) -> None:
    first, *_, last = losses(home / "2-dropout")
    assert last < first


def test_one_launcher_is_as_good_as_another(home: Path, tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    settings = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": "MULTI_CPU",
        "num_processes": 2,
        "num_machines": 1,
        "machine_rank": 0,
        "main_training_function": "main",
        "mixed_precision": "no",
        "use_cpu": True,
        "main_process_ip": "127.0.0.1",
        "main_process_port": 0,
    }
    (tmp_path / "default_config.yaml").write_text(json.dumps(settings))  # JSON is YAML
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--config_file"]
    jobs = [job(tmp_path / how, sharding=how) for how in ("full", "none")]
    said = launched(jobs, [*launcher, str(tmp_path / "default_config.yaml")], tmp_path)
    assert said.returncode == 0, said.stderr
    for how in ("full", "none"):  # as torchrun's, bit for bit
        assert losses(tmp_path / how) == losses(home / f"2-{how}-muon")
        assert weights(tmp_path / how / "model").equal(weights(home / f"2-{how}-muon" / "model"))


def test_a_killed_process_ends_the_others_and_the_launcher_goes_on(home: Path, tmp_path: Path) -> None:
    launcher = [*TORCHRUN, "--nproc-per-node", "2", "--max-restarts"]
    killed = {**job(tmp_path, sharding="full"), "killed_after": [6, 12]}
    said = launched([killed], [*launcher, "1"], tmp_path)  # killed, restarted, killed
    assert said.returncode != 0
    assert time.time() - float((tmp_path / "killed").read_text()) < 30
    assert "resuming after step 6 of 20" in said.stderr
    assert "another process of this launch has ended" in said.stderr
    assert len(rows(tmp_path)) == 14  # of the steps 0 to 13
    said = launched([job(tmp_path, sharding="full")], [*launcher, "0"], tmp_path)
    assert said.returncode == 0, said.stderr
    assert "resuming after step 12 of 20" in said.stderr
    assert weights(tmp_path / "model").equal(weights(home / "2-full-muon" / "model"))
