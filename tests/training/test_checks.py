"""What cannot work is refused before the first step, with a mend that works."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tezgah.errors import InputError
from tezgah.models.build import build_config
from tezgah.models.config import ModelConfig
from tezgah.models.cost import training_bytes
from tezgah.models.settings import ModelSettings
from tezgah.training import checks
from tezgah.training.place import Place
from tezgah.training.settings import TrainSettings
from tezgah.training.world import World

ALONE = World(rank=0, local_rank=0, size=1)
# As much of a training split as the checks look at: two long documents.
SPLIT: Any = SimpleNamespace(stream=SimpleNamespace(offsets=np.array([0, 10_000, 20_000])))


def place(kind: str = "cpu", compiled: bool = False) -> Place:
    return Place(torch.device(kind), None, threads=1, compiled=compiled)


def config(context_length: int = 1_024, dropout: float = 0.0) -> ModelConfig:
    settings = ModelSettings(
        shape="gpt2", n_layers=2, width=64, n_heads=4, context_length=context_length, dropout=dropout
    )
    return build_config(settings, vocab_size=300)


def check(here: Place, settings: TrainSettings, model: ModelConfig | None = None, world: World = ALONE) -> None:
    checks.check_before_training(model or config(), SPLIT, settings, world, here)


def test_more_processes_than_sequences_are_refused_in_one_line():
    with pytest.raises(InputError, match="batch_size 4 is not a multiple of 8 processes"):
        check(place(), TrainSettings(steps=1, batch_size=4), world=World(rank=0, local_rank=0, size=8))


@pytest.mark.parametrize(
    ("here", "model", "held"),
    [
        (place(compiled=True), config(256), False),
        (place(compiled=False), config(1_024), False),
        (place(compiled=False), config(1_024, dropout=0.1), True),
        (place("cuda", compiled=True), config(1_024, dropout=0.1), False),
        (place("mps"), config(1_024), True),
    ],
)
def test_attention_weights_count_only_where_they_are_held(monkeypatch, here, model, held):
    least = training_bytes(model, 8, muon=True, low_precision=False, holds_attention=False)
    monkeypatch.setattr(checks, "memory_bytes", lambda place: least)
    assert checks.holds_attention(model, here) is held
    if held:
        with pytest.raises(InputError, match="GB are needed"):
            check(here, TrainSettings(steps=1, batch_size=8), model)
    else:
        check(here, TrainSettings(steps=1, batch_size=8), model)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_a_cpu_holds_attention_weights_where_there_is_dropout(dropout):
    kept: list[tuple[int, ...]] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tuple(tensor.shape))
        return tensor

    q = torch.randn(1, 2, 64, 16, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        F.scaled_dot_product_attention(q, q, q, is_causal=True, dropout_p=dropout)
    assert any(shape[-2:] == (64, 64) for shape in kept) is checks.holds_attention(config(64, dropout), place())


def refusal(memory: int, monkeypatch: pytest.MonkeyPatch, sequences: int = 8, recompute: bool = False) -> str:
    monkeypatch.setattr(checks, "memory_bytes", lambda place: memory)
    with pytest.raises(InputError) as refused:
        check(place(), TrainSettings(steps=1, batch_size=8, micro_batch_size=sequences, recompute=recompute))
    return str(refused.value)


def needed(sequences: int, recomputed: bool = False) -> int:
    return training_bytes(
        config(), sequences, muon=True, low_precision=False, holds_attention=False, recomputed=recomputed
    )


def test_sharding_is_offered_where_it_would_do_and_refused_where_it_does_not_work(monkeypatch):
    three = World(rank=0, local_rank=0, size=3)
    settings = TrainSettings(steps=1, batch_size=3, optimizer="adamw", sharding="full")
    wide = build_config(ModelSettings(n_layers=6, width=512, n_heads=4, context_length=64), vocab_size=300)
    sharded, whole = (training_bytes(wide, 1, False, False, False, sharded=count) for count in (3, 1))
    assert sharded < 0.6 * whole
    monkeypatch.setattr(checks, "memory_bytes", lambda place: sharded)
    check(place(), settings, wide, three)
    with pytest.raises(InputError, match=r'Set train\.sharding = "full", which does\. Or: Choose a smaller model'):
        check(place(), TrainSettings(steps=1, batch_size=3, optimizer="adamw"), wide, three)
    with pytest.raises(InputError, match="not on mps"):
        check(place("mps"), settings, wide, three)
    with pytest.raises(InputError, match="batch_size 4 is not a multiple of 3 processes"):
        check(place(), TrainSettings(steps=1, batch_size=4, sharding="full"), wide, three)


def test_memory_that_will_not_do_is_refused_with_what_would(monkeypatch):
    assert refusal(needed(3), monkeypatch).endswith(
        "Set train.micro_batch_size to 3 or less, or choose a smaller model."
    )
    check(place(), TrainSettings(steps=1, batch_size=3, micro_batch_size=3))  # what was named fits
    said = refusal(needed(8, recomputed=True), monkeypatch)
    assert "or less, or train.recompute = true, or choose a smaller model." in said
    check(place(), TrainSettings(steps=1, batch_size=8, recompute=True))
    for sequences in (1, 8):
        said = refusal(needed(1) - 1, monkeypatch, sequences)
        fewer = " and train.micro_batch_size to 1 or less" if sequences == 8 else ""
        assert said.endswith(f"Set train.recompute = true{fewer}, or choose a smaller model.")
        said = refusal(needed(1, recomputed=True) - 1, monkeypatch, sequences, recompute=True)
        assert said.endswith("Set model.context_length below 1024, or choose a smaller model.")
    assert refusal(needed(0) - 1, monkeypatch).endswith("here. Choose a smaller model.")


@pytest.mark.parametrize(
    ("loss", "warned"), [(0.4, False), (5.7, False), (6.9, False), (7.2, True), (float("nan"), True)]
)
def test_a_model_that_begins_worse_than_by_guessing_is_noticed(capsys, loss, warned):
    checks.check_initial_loss(loss, vocab_size=300)  # ln 300 is 5.70; a model trained before begins lower
    assert ("the tokenizer is not the model's" in capsys.readouterr().err) is warned


@pytest.mark.parametrize(
    ("settings", "mend"),
    [
        (TrainSettings(batch_size=12), "Set train.micro_batch_size = 6 or train.recompute = true; the batch stays"),
        (TrainSettings(batch_size=12, micro_batch_size=3, recompute=True), "Set train.micro_batch_size = 1; the batch"),
        (TrainSettings(batch_size=1, recompute=True), "Choose a smaller model."),
    ],
)
def test_memory_that_runs_out_in_a_step_names_the_batch_that_may_fit(settings, mend):
    error = checks.out_of_memory(torch.OutOfMemoryError("CUDA out of memory"), settings, World(0, 0, 1))
    assert mend in str(error)
    assert checks.out_of_memory(RuntimeError("another"), settings, World(0, 0, 1)) is None
    with pytest.raises(RuntimeError) as refused:
        torch.empty(1 << 60)
    assert checks.out_of_memory(refused.value, settings, World(0, 0, 1))
