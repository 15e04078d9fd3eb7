"""What a profile says of a step is so, and profiling changes no weight."""

import gzip
import json
import re
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch._C._autograd import DeviceType
from torch.autograd.profiler import record_function
from torch.nn import functional as F

import tezgah.training.loop as loop
from tests.training import test_loop
from tezgah import cli
from tezgah.errors import InputError
from tezgah.files import hash_file
from tezgah.models.build import build_config, build_model
from tezgah.models.settings import ModelSettings
from tezgah.nn.cross_entropy import LOSS
from tezgah.tokens.sequences import Sequences
from tezgah.tokens.shards import TokenStream
from tezgah.training import profile
from tezgah.training.profile import ATTENTION, CLIP, DATA, ELEMENTWISE, OPTIMIZER, OTHER, PARTS, PRODUCTS, READ, Cost
from tezgah.training.reader import Callbacks, Data
from tezgah.training.settings import TrainSettings

RUN = """
[tokenizer]
vocab_size = 300
[model]
n_layers = 2
width = 32
context_length = 32
[train]
steps = 11
batch_size = 4
compile = false
threads = 1
device = "cpu"
validation_batches = 1
validation_steps = 100
sample_tokens = 0
"""


@pytest.fixture(autouse=True)
def _known_matrix_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "matrix_rate", lambda place: 1e12)  # it takes seconds


def costs(step, steps: int = 2) -> dict[str, Cost]:
    """The parts of what `step` does, by the profiler that training uses."""
    schedule = torch.profiler.schedule(wait=0, warmup=1, active=steps, repeat=1)
    with torch.profiler.profile(schedule=schedule, with_flops=True) as profiler:
        for _ in range(1 + steps):
            step()
            profiler.step()
    return profile.costs_of(profiler.events(), on_gpu=False)


def parts(found: dict[str, Cost]) -> set[str]:
    """The parts on which any time was spent in operations."""
    return {part for part, cost in found.items() if cost.seconds > 0 and part != OTHER}


def test_products_are_counted_in_full():
    a, b = torch.ones(64, 32), torch.ones(32, 16)
    bias, batch = torch.ones(16), torch.ones(3, 8, 8)

    def step() -> None:
        a @ b
        torch.addmm(bias, a, b)
        batch @ batch
        a * 2  # operations, but no product

    found = costs(step)
    assert found[PRODUCTS].flops == 2 * (2 * 64 * 32 * 16)
    assert found[ATTENTION].flops == 2 * 3 * 8 * 8 * 8
    assert found[ELEMENTWISE].flops == 0 < found[ELEMENTWISE].seconds


def test_an_operation_belongs_to_the_range_around_it():
    weight = torch.nn.Parameter(torch.ones(8, 8))
    optimizer = torch.optim.SGD([weight], 0.1)

    def optimize() -> None:
        weight.grad = None
        weight.grad = weight.detach()
        optimizer.step()

    def ranged(name: str):
        def step() -> None:
            with record_function(name):
                weight @ weight

        return step

    for name in (DATA, CLIP, READ, LOSS):
        assert parts(costs(ranged(name))) == {name}
    assert OPTIMIZER in parts(costs(optimize))
    assert PRODUCTS not in parts(costs(optimize))


def test_the_backward_pass_goes_where_the_forward_pass_went():
    x, weight, head = torch.ones(8, 4), torch.ones(4, 4, requires_grad=True), torch.ones(4, 9, requires_grad=True)

    def step() -> None:
        hidden = x @ weight
        with record_function(LOSS):
            loss = F.cross_entropy(hidden @ head, torch.zeros(8, dtype=torch.long))
        loss.backward()

    found = costs(step)
    assert found[PRODUCTS].flops == 2 * 2 * 8 * 4 * 4  # forward, and the weight's gradient
    assert found[LOSS].flops == 3 * 2 * 8 * 4 * 9  # forward, the head's gradient and the hidden states'


def test_attention_is_what_the_fused_kernel_does_both_ways():
    q = torch.ones(1, 2, 64, 16, requires_grad=True)
    found = costs(lambda: F.scaled_dot_product_attention(q, q, q, is_causal=True).sum().backward())
    assert found[ATTENTION].seconds > 0.5 * (sum(cost.seconds for cost in found.values()) - found[OTHER].seconds)
    assert PRODUCTS not in parts(found)


def test_the_parts_sum_to_the_step():
    x = torch.ones(64, 64)
    schedule = torch.profiler.schedule(wait=0, warmup=1, active=3, repeat=1)
    with torch.profiler.profile(schedule=schedule, with_flops=True) as profiler:
        for _ in range(4):
            with record_function(DATA):
                x + 1
            x @ x
            profiler.step()
    found = profile.costs_of(profiler.events(), on_gpu=False)
    steps = [event.cpu_time_total for event in profiler.events() if event.name == "ProfilerStep*"]
    assert len(steps) == 3
    assert sum(cost.seconds for cost in found.values()) == pytest.approx(sum(steps) / 3e6)


def test_a_gpus_time_is_its_kernels_and_the_rest_is_waiting():
    class Event(dict[str, Any]):
        __getattr__ = dict.__getitem__

    plain = {"is_async": False, "device_type": DeviceType.CPU, "cpu_parent": None, "cpu_children": [], "flops": 0}
    plain |= {"sequence_nr": -1, "scope": 0, "self_device_time_total": 0.0, "cpu_time_total": 0.0}
    product = Event(plain, name="aten::mm", self_device_time_total=600.0, flops=1_000)
    backward = Event(plain, name="triton_per_fused_exp_sum_3", self_device_time_total=300.0)  # in a thread of its own
    step = Event(plain, name="ProfilerStep*", cpu_time_total=1_000.0, cpu_children=[product])
    product["cpu_parent"] = step
    kernel = Event(plain, name="ampere_gemm", device_type=DeviceType.CUDA)
    events: list[Any] = [step, product, backward, kernel]
    found = profile.costs_of(events, on_gpu=True)
    seconds = {part: cost.seconds for part, cost in found.items() if cost.seconds}
    assert seconds == pytest.approx({PRODUCTS: 600e-6, ATTENTION: 300e-6, OTHER: 100e-6})


@pytest.mark.parametrize(
    ("kernel", "part"),
    [
        ("graph_3_cpp_fused_add_amax_exp_mul_sub_sum_7", ATTENTION),
        ("cpp_fused__softmax_2", ATTENTION),
        ("graph_1_cpp_fused_expand_mean_mul_rsqrt_0", ELEMENTWISE),
        ("triton_poi_fused_mul_silu_1", ELEMENTWISE),
    ],
)
def test_compiled_kernels_are_told_by_their_names(kernel, part):
    event: Any = type("Event", (), {"name": kernel, "sequence_nr": -1})
    assert profile._part(event, OTHER, set()) == part


def train(folder: Path, settings: TrainSettings, is_profiled: bool, context: int = 16) -> None:
    """Train a tiny model of random documents."""
    if not (folder / "tokens").is_dir():
        test_loop.write_tokens(folder / "tokens")
    model = build_model(
        build_config(ModelSettings(n_layers=2, width=32, n_heads=2, context_length=context), 64), seed=1
    )
    sequences = Sequences(TokenStream(folder / "tokens", "train"), context)
    callbacks = Callbacks(lambda model, place: {}, lambda model, place: [], lambda folder: None)
    loop.train(model, Data(sequences, sequences, 0), settings, folder, "a recipe", callbacks, is_profiled)


SETTINGS = msgspec.structs.replace(test_loop.SETTINGS, steps=12, gradient_clip=0.1, validation_steps=100)
MODEL, OPTIMIZER_STATE = "model/model.safetensors", "checkpoints/step-000012/training_state/optimizer.safetensors"


def same_bits(settings: TrainSettings, folder: Path) -> None:
    for is_profiled in (True, False):
        train(folder / str(is_profiled), settings, is_profiled)
    assert (folder / "True" / "profile" / "step.md").is_file()
    assert not (folder / "False" / "profile").exists()
    for name in (MODEL, OPTIMIZER_STATE):
        assert hash_file(folder / "True" / name) == hash_file(folder / "False" / name)


@pytest.mark.parametrize("changed", [{}, {"precision": "bf16"}, {"micro_batch_size": 2, "recompute": True}], ids=str)
def test_a_profiled_run_has_the_weights_of_one_that_was_not(changed, tmp_path):
    same_bits(msgspec.structs.replace(SETTINGS, **changed), tmp_path)


@pytest.mark.slow
def test_a_profiled_compiled_run_has_the_weights_of_one_that_was_not(tmp_path):
    same_bits(msgspec.structs.replace(SETTINGS, compile=True, precision="bf16"), tmp_path)
    trace = json.loads((tmp_path / "True" / "profile" / "trace.json").read_text())
    assert any("cpp_fused" in event.get("name", "") for event in trace["traceEvents"])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("profiled")
    (folder / "texts").mkdir()
    for number in range(60):
        text = "".join(f"def area_{(number * 31 + i * i) % 97}(a, b):\n    return a * {i % 13}\n\n" for i in range(60))
        (folder / "texts" / f"{number}.txt").write_text(text)
    (folder / "small.toml").write_text(f"[corpus]\nsource = {json.dumps(str(folder / 'texts'))}\n{RUN}")
    return folder


def test_a_run_with_profile_writes_a_trace_and_a_table_and_prints_it(home, capsys):
    assert cli.main(["run", str(home / "small.toml"), "--run", str(home / "run"), "--profile"]) == 0
    out = capsys.readouterr().out
    page = (home / "run" / "profile" / "step.md").read_text()
    assert page in out
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")]
    found = {row[0]: float(row[1].replace(",", "")) for row in rows[2:]}
    whole = found.pop("**a step**")
    assert set(found) == set(PARTS)
    assert sum(found.values()) == pytest.approx(whole, abs=0.005 * len(found) + 0.01)
    assert min(found[part] for part in (PRODUCTS, ATTENTION, LOSS, OPTIMIZER, CLIP, DATA, READ)) > 0
    assert re.search(r"A step of 128 tokens takes [\d.,]+ ms, the mean of 5; without the profiler [\d.,]+ ms\.", page)
    events = json.loads((home / "run" / "profile" / "trace.json").read_text())["traceEvents"]
    names = {event.get("name") for event in events}
    assert {f"ProfilerStep#{step}" for step in range(5, 10)} | {DATA, CLIP, READ, LOSS, "aten::mm"} <= names


def test_a_run_that_is_finished_has_nothing_to_profile(home, capsys):
    if not (home / "run" / "model").exists():
        cli.main(["run", str(home / "small.toml"), "--run", str(home / "run")])
    before = {path: path.stat().st_mtime_ns for path in (home / "run").rglob("*") if path.name != ".lock"}
    for flags in ([], ["--only", "evaluate"]):
        assert cli.main(["run", str(home / "small.toml"), "--run", str(home / "run"), "--profile", *flags]) == 2
        assert "there is no step left to train. Give it a larger budget, --restart" in capsys.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in (home / "run").rglob("*") if path.name != ".lock"}


def test_too_few_steps_are_refused(tmp_path):
    with pytest.raises(InputError, match="--profile needs 10 steps, and 9 are left of this training"):
        train(tmp_path, msgspec.structs.replace(SETTINGS, steps=9), is_profiled=True)


def test_a_large_trace_is_compressed(tmp_path, monkeypatch):
    monkeypatch.setattr(profile, "LARGE_BYTES", 1_000)
    train(tmp_path, SETTINGS, is_profiled=True)
    assert {path.name for path in (tmp_path / "profile").iterdir()} == {"step.md", "trace.json.gz"}
    assert json.loads(gzip.decompress((tmp_path / "profile" / "trace.json.gz").read_bytes()))["traceEvents"]


def test_a_stop_before_the_last_profiled_step_leaves_no_profile(tmp_path, monkeypatch):
    step = loop.Trainer.step

    def stopping(self, number, steps):
        if number == 8:
            signal.raise_signal(signal.SIGTERM)
        return step(self, number, steps)

    monkeypatch.setattr(loop.Trainer, "step", stopping)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, SETTINGS, is_profiled=True)
    assert not (tmp_path / "profile").exists()
    assert (tmp_path / "checkpoints" / "step-000008").is_dir()
    monkeypatch.undo()
    monkeypatch.setattr(loop, "matrix_rate", lambda place: 1e12)
    with pytest.raises(InputError, match="4 are left"):
        train(tmp_path, SETTINGS, is_profiled=True)
