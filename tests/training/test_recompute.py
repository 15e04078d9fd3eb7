"""Blocks computed twice instead of kept: the same bits, and less memory, in truth and in the estimate."""

from pathlib import Path

import msgspec
import pytest
import torch

from tests.training.test_loop import SETTINGS, losses, train, weights
from tezgah.models.build import build_config, build_model
from tezgah.models.causal import CausalLM
from tezgah.models.cost import training_bytes
from tezgah.models.settings import ModelSettings

WITH_DROPOUT = ModelSettings(shape="gpt2", n_layers=4, width=32, n_heads=2, context_length=16, dropout=0.2)


def test_a_training_ends_with_the_same_bits(tmp_path: Path) -> None:
    kept = train(tmp_path / "kept", SETTINGS)
    recomputed = train(tmp_path / "recomputed", msgspec.structs.replace(SETTINGS, recompute=True))
    assert losses(recomputed) == losses(kept)
    assert torch.equal(weights(tmp_path / "recomputed"), weights(tmp_path / "kept"))


def step(settings: ModelSettings, recomputed: bool) -> tuple[float, list[torch.Tensor], int]:
    """The loss and the gradients of one batch, and how many numbers were kept in between for the backward pass."""
    model: CausalLM = build_model(build_config(settings, 64), seed=1).train()
    model.stack.recomputed = recomputed
    ids = torch.arange(48).reshape(3, 16) % 64
    torch.manual_seed(7)
    kept = 0

    def count(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        loss = model.loss(ids, ids)
    kept_forward = kept
    loss.backward()
    return (
        float(loss.detach()),
        [parameter.grad for parameter in model.parameters() if parameter.grad is not None],
        kept_forward,
    )


@pytest.mark.parametrize("settings", [WITH_DROPOUT, ModelSettings(n_layers=4, width=32, n_heads=2, context_length=16)])
def test_dropout_draws_the_same_again_and_less_is_kept(settings: ModelSettings) -> None:
    loss, gradients, kept = step(settings, recomputed=False)
    again, their_gradients, their_kept = step(settings, recomputed=True)
    assert again == loss
    assert all(map(torch.equal, their_gradients, gradients))
    assert their_kept < 0.5 * kept


def test_the_estimate_falls_towards_what_enters_the_blocks() -> None:
    config = build_config(ModelSettings(shape="gpt2", size="small", context_length=1_024), 50_257)
    whole, less, fixed = (
        training_bytes(config, sequences, False, True, False, recomputed)  # AdamW, 16 bits, a fused kernel
        for sequences, recomputed in ((8, False), (8, True), (0, True))
    )
    tokens, layers, width = 8 * 1_024, 12, 768
    one_block = (whole - fixed) / layers
    assert less - fixed == pytest.approx(one_block + tokens * layers * 4 * width)
    assert less < whole
