"""What a recipe leaves open is chosen; what it states stays."""

from typing import Any

import pytest

from tezgah.errors import InputError
from tezgah.models.build import build_config
from tezgah.models.cost import count_parameters, flops_per_token, training_bytes
from tezgah.models.settings import ModelSettings
from tezgah.training import choosing
from tezgah.training.choosing import Ask, Fields, choose_open
from tezgah.training.settings import TrainTable
from tezgah.training.world import World

ALONE = World(rank=0, local_rank=0, size=1)
AUTO = ModelSettings(size="auto")
RATED = ["train.learning_rate", "train.max_epochs", "train.muon_learning_rate", "train.weight_decay"]


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A machine of 1 TFLOP/s in products and 0.3 in steps, with 16 GB; the depths that were measured on it."""
    measured: list[int] = []

    def step_rate(config: Any, settings: Any, place: Any, predicted: float) -> float:
        measured.append(config.n_layers)
        return 3e11

    monkeypatch.setattr(choosing, "matrix_rate", lambda place: 1e12)
    monkeypatch.setattr(choosing, "step_rate", step_rate)
    monkeypatch.setattr(choosing, "free_memory", lambda place: 16 << 30)
    return measured


def table(**fields: Any) -> TrainTable:
    return TrainTable(device="cpu", compile=False, precision="fp32", threads=1, **fields)


def asked(
    model: ModelSettings = AUTO, tokens: int | None = 10**9, world: World = ALONE, start: Any = None, **fields: Any
) -> Fields:
    return choose_open(Ask(model, table(**fields), 8_192, tokens, world, start))


def test_minutes_are_measured_and_say_size_batch_and_rates(
    machine: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    fields = asked(minutes=10.0)
    assert sorted(fields) == sorted(
        [*RATED, "model.n_heads", "model.n_layers", "model.width", "train.batch_size", "train.micro_batch_size"]
    )
    depth = fields["model.n_layers"]
    assert fields["model.width"] == 64 * depth and fields["model.n_heads"] == depth
    config = build_config(ModelSettings(n_layers=depth, width=64 * depth, n_heads=depth), 8_192)
    assert 1 / 4 < 0.85 * 600 * 3e11 / flops_per_token(config) / count_parameters(config) / 12 < 4
    assert fields["train.max_epochs"] == 4.0
    assert 1 <= len(machine) <= 3
    told = capsys.readouterr().err
    assert "measured here: 300 GFLOP/s in training steps, 1,000 in matrix products" in told
    assert f"{depth} layers × {64 * depth}, {count_parameters(config):,} parameters" in told


def test_masked_text_is_read_until_each_token_was_asked_for_four_times(machine: list[int]) -> None:
    model = ModelSettings(objective="mlm", size="auto")
    ask = Ask(model, table(tokens=10**7), 8_192, 10**6, ALONE, predicted=0.25)
    assert choose_open(ask)["train.max_epochs"] == 16.0


def test_tokens_and_flops_measure_nothing_and_choose_the_same(machine: list[int]) -> None:
    of_flops = asked(flops=2e15)
    config = build_config(
        ModelSettings(n_layers=of_flops["model.n_layers"], width=of_flops["model.width"]), vocab_size=8_192
    )
    by_tokens = choose_open(Ask(AUTO, table(tokens=round(2e15 / flops_per_token(config))), 8_192, 10**9, ALONE))
    assert by_tokens == of_flops and machine == []


def test_what_is_stated_is_not_chosen() -> None:
    stated: dict[str, Any] = {"batch_size": 32, "learning_rate": 1e-3, "muon_learning_rate": 0.01}
    stated |= {"weight_decay": 0.0, "max_epochs": 2.0}
    assert sorted(asked(flops=1e15, **stated)) == ["model.n_heads", "model.n_layers", "model.width"]


def test_a_recipe_that_leaves_only_rates_open_gets_the_defaults(machine: list[int]) -> None:
    fields = asked(ModelSettings(n_layers=2, width=256), steps=10)
    assert fields == {
        "train.max_epochs": 0.0,
        "train.batch_size": 8,
        "train.learning_rate": 3e-3,
        "train.muon_learning_rate": 0.02,
        "train.weight_decay": 0.1,
    }
    assert machine == []


def test_a_model_that_has_learned_goes_on_at_a_quarter_of_the_rates() -> None:
    start = build_config(ModelSettings(n_layers=2, width=256), 8_192)
    fields = asked(ModelSettings(from_="runs/a"), start=start, steps=10)
    assert (fields["train.learning_rate"], fields["train.muon_learning_rate"]) == (7.5e-4, 0.005)


def test_a_batch_of_another_size_than_the_rule_moves_the_rates() -> None:
    ruled, stated = asked(flops=1e15), asked(flops=1e15, batch_size=4)
    assert ruled["train.batch_size"] > 4
    assert stated["train.muon_learning_rate"] < ruled["train.muon_learning_rate"]
    assert "train.batch_size" not in stated


def test_little_text_is_read_four_times_and_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    fields = asked(tokens=100_000, minutes=10.0)
    told = capsys.readouterr().err
    assert "note: training ends after 4 epochs (max_epochs)" in told and "more text would use the rest" in told
    assert fields["train.batch_size"] * 512 * 100 < 400_000  # at least a hundred steps
    assert asked(tokens=None, minutes=10.0)["train.max_epochs"] == 0.0  # a stream's text is not counted


def test_processes_on_one_machine_share_its_cores_and_machines_add_up() -> None:
    alone = asked(minutes=10.0)["model.n_layers"]
    assert asked(minutes=10.0, world=World(0, 0, 2, local_size=2))["model.n_layers"] == alone
    assert asked(minutes=10.0, world=World(0, 0, 32, local_size=2))["model.n_layers"] > alone
    assert asked(minutes=10.0, world=World(0, 0, 3, local_size=3))["train.batch_size"] % 3 == 0


def test_a_pass_that_does_not_fit_is_cut_and_the_batch_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ModelSettings(n_layers=6, width=384)
    whole = asked(model, flops=1e16, batch_size="auto")
    assert whole["train.micro_batch_size"] == 0
    config = build_config(model, 8_192)
    room = training_bytes(config, 5, muon=True, low_precision=False, holds_attention=False)
    monkeypatch.setattr(choosing, "free_memory", lambda place: room / choosing.MOST_MEMORY)
    cut = asked(model, flops=1e16, batch_size="auto")
    assert cut["train.batch_size"] == whole["train.batch_size"] and cut["train.micro_batch_size"] == 4


def test_epochs_tell_a_batch_and_a_stated_pass_stays() -> None:
    fields = asked(ModelSettings(n_layers=2, width=64), tokens=10**7, epochs=2.0, batch_size="auto", micro_batch_size=2)
    assert fields["train.batch_size"] == 16 and fields["train.micro_batch_size"] == 2


def test_where_no_model_fits_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "free_memory", lambda place: 1 << 20)
    with pytest.raises(InputError, match="not even the smallest model fits into 0.0 GB with 8,192 ids"):
        asked(minutes=1.0)
