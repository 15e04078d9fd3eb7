"""Who looks where: padding, packing, caching, any pattern, head masks; and attention without the square."""

import dataclasses
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tezgah.models.causal import CausalLM
from tezgah.models.config import CausalConfig, EncoderConfig
from tezgah.models.encoder import Encoder
from tezgah.nn import stack as stack_module
from tezgah.nn.config import Local, Rope, StackConfig
from tezgah.nn.linear_attention import linear_attention
from tezgah.nn.masks import attention_pattern, packed_documents
from tezgah.nn.positions import sinusoidal_table
from tezgah.nn.stack import Stack
from tezgah.nn.trace import Trace

BASE = StackConfig(
    n_layers=2, width=24, n_heads=4, n_kv_heads=4, head_dim=6, mlp_width=32, norm="layer", norm_epsilon=1e-5, mlp="gelu"
)
ROTARY = dataclasses.replace(BASE, rope=Rope(1e4), n_kv_heads=2, norm="rms", mlp="swiglu", qk_norm=True)
BERT = dataclasses.replace(BASE, norm_first=False, causal=False)
LOCAL = dataclasses.replace(
    BASE,
    mlp="geglu",
    rope=Rope(1e4),
    causal=False,
    norm_bias=False,
    first_norm=False,
    local=Local(layers=(1,), reach=2, rope=Rope(20.0)),
)


def causal(stack: StackConfig) -> CausalLM:
    return CausalLM(CausalConfig("gpt2", 31, 32, stack, tied=True, learned_positions=stack.rope is None))


def encoder() -> Encoder:
    return Encoder(EncoderConfig("bert", 31, 32, BERT, n_token_types=2, head="masked_lm"))


def modern(head: Any) -> Encoder:
    around: dict[str, Any] = {"n_token_types": 0, "learned_positions": False, "pooling": "mean"}
    return Encoder(EncoderConfig("modernbert", 31, 32, LOCAL, head=head, **around))


MAKERS = {
    "learned": lambda: causal(BASE),
    "learned, norm last": lambda: causal(dataclasses.replace(BASE, norm_first=False)),
    "rotary": lambda: causal(ROTARY),
    "encoder": encoder,
    "local": lambda: modern("masked_lm"),
    "classifier": lambda: Encoder(EncoderConfig("bert", 31, 32, BERT, n_token_types=2, head="classification")),
}

MAKERS["mean of local states"] = lambda: modern("classification")
POSITION_BY_POSITION = [name for name in MAKERS if name not in ("classifier", "mean of local states")]


def made(name: str, dtype: torch.dtype = torch.float64) -> Any:
    """A model with random weights."""
    torch.manual_seed(1)
    model = MAKERS[name]().to(dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(1.0 if parameter.ndim == 1 else 0.0, 0.3)
    return model


IDS = torch.randint(0, 31, (4, 12), generator=torch.Generator().manual_seed(1))
LENGTHS = [12, 7, 1, 4]


def padded(side: str) -> tuple[Tensor, Tensor]:
    """Rows of different lengths and their mask."""
    places = torch.arange(12)[None]
    lengths = torch.tensor(LENGTHS)[:, None]
    mask = places < lengths if side == "right" else places >= 12 - lengths
    ids = torch.zeros_like(IDS)
    for row, length in enumerate(LENGTHS):
        ids[row, mask[row]] = IDS[row, :length]
    return ids, mask.long()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("name", MAKERS)
def test_a_batch_of_ragged_rows_equals_each_alone(name: str, side: str, dtype: torch.dtype) -> None:
    model, (ids, mask) = made(name, dtype), padded(side)
    together = model(ids, mask)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    for row, length in enumerate(LENGTHS):
        alone = model(IDS[row : row + 1, :length])[0]
        found = together[row] if together.ndim == 2 else together[row, mask[row].bool()]
        assert (found - alone).abs().max() <= tolerance * alone.abs().max()
    assert torch.isfinite(together).all()


@pytest.mark.parametrize("name", POSITION_BY_POSITION)
def test_packed_documents_equal_separate_ones(name: str) -> None:
    model = made(name)
    documents = torch.tensor([[1] * 5 + [2] * 4 + [3] * 3, [7] * 1 + [8] * 11, [1] * 12, [5] * 6 + [6] * 6])
    pattern, positions = packed_documents(documents)
    together = model(IDS, pattern, positions=positions)
    for row in range(4):
        for document in documents[row].unique():
            here = documents[row] == document
            alone = model(IDS[row : row + 1, here])[0]
            torch.testing.assert_close(together[row, here], alone, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("side", [None, "left"])
@pytest.mark.parametrize("name", ["learned", "learned, norm last", "rotary"])
def test_a_cache_filled_in_pieces_changes_nothing(name: str, side: str | None) -> None:
    model = made(name)
    ids, mask = (IDS, None) if side is None else padded(side)
    whole = model(ids, mask)
    cache, pieces = model.new_cache(4, 12), []
    for begin, end in ((0, 5), (5, 6), (6, 11), (11, 12)):
        pieces.append(model(ids[:, begin:end], None if mask is None else mask[:, :end], cache=cache))
    seen = torch.ones(4, 12).bool() if mask is None else mask.bool()
    torch.testing.assert_close(torch.cat(pieces, 1)[seen], whole[seen], atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("name", POSITION_BY_POSITION)
def test_a_query_that_may_look_nowhere_mixes_nothing_in(name: str, traced: bool) -> None:
    model = made(name, torch.float32)
    pattern = torch.ones(4, 12, 12)
    pattern[1, 3], pattern[2] = 0, 0
    embeddings = torch.randn(4, 12, 24, requires_grad=True)
    found = model(None, pattern, embeddings=embeddings, trace=Trace() if traced else None)
    assert torch.isfinite(found).all()
    found.sum().backward()
    assert embeddings.grad is not None
    assert torch.isfinite(embeddings.grad).all()
    # what a query hears is then the output's bias alone, so nothing of the row reaches another position
    other = torch.cat([embeddings[2:3, :6], torch.randn(1, 6, 24)], 1)
    both = [model(None, pattern[2:3], embeddings=each)[0, :6] for each in (embeddings[2:3], other)]
    torch.testing.assert_close(both[0], both[1])


@pytest.mark.parametrize("name", MAKERS)
def test_a_head_mask_is_a_factor_of_what_the_head_says(name: str) -> None:
    model = made(name)
    factors = torch.tensor([[1.0, 0.0, 0.5, 1.0], [0.25, 1.0, 1.0, 0.0]], dtype=torch.float64)
    masked, traced = model(IDS, head_mask=factors), model(IDS, head_mask=factors, trace=Trace())
    torch.testing.assert_close(masked, traced)
    torch.testing.assert_close(model(IDS, head_mask=factors[0]), model(IDS, head_mask=factors[:1].expand(2, 4)))
    for layer, block in enumerate(model.stack.blocks):
        columns = factors[layer].repeat_interleave(6)  # the output projection reads a head in six columns
        block.attention.output.weight.data *= columns
    torch.testing.assert_close(model(IDS), masked)
    assert not torch.allclose(made(name)(IDS), masked)


def test_the_trace_shows_what_the_mask_forbids() -> None:
    trace = Trace()
    made("rotary")(IDS, trace=trace)
    for weights in trace.attentions:
        assert weights.shape == (4, 4, 12, 12)
        torch.testing.assert_close(weights.sum(-1), torch.ones(4, 4, 12, dtype=torch.float64))
        assert weights.triu(1).abs().max() == 0


def test_a_local_block_looks_as_far_as_its_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    model, trace = made("local"), Trace()
    made_patterns: list[Any] = []
    config = dataclasses.replace(LOCAL, n_layers=4, local=Local((1, 2, 3), 2, Rope(20.0)))
    many = Stack(config, 32).eval()

    def counted(*given: Any) -> Tensor | None:
        made_patterns.append(given)
        return attention_pattern(*given)

    monkeypatch.setattr(stack_module, "attention_pattern", counted)
    model(IDS, trace=trace)
    near = (torch.arange(12)[:, None] - torch.arange(12)[None]).abs() <= 2
    first, second = trace.attentions
    assert (first > 0).all()
    assert torch.equal(second > 0, near.expand_as(second))
    made_patterns.clear()
    many(torch.randn(2, 12, 24))
    assert len(made_patterns) == 2  # one for blocks that see all, which is none, one for all local ones
    made_patterns.clear()
    many(torch.randn(2, 3, 24))
    assert len(made_patterns) == 1  # the window holds the whole text


@pytest.mark.parametrize("name", MAKERS)
def test_computing_blocks_anew_changes_no_gradient(name: str) -> None:
    gradients = []
    for recomputed in (False, True):
        model = made(name).train()
        model.stack.recomputed = recomputed
        model(IDS).square().mean().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for kept, anew in zip(*gradients, strict=True):
        assert (kept is None and anew is None) or torch.equal(kept, anew)


@settings(max_examples=30)
@given(time=st.integers(1, 300), heads=st.integers(1, 2), causal=st.booleans(), seed=st.integers(0, 99))
def test_linear_attention_equals_its_quadratic_form(time: int, heads: int, causal: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    q, k, v = torch.randn(3, 2, heads, time, 5, dtype=torch.float64, generator=generator)
    weights = (nn.functional.elu(q) + 1) @ (nn.functional.elu(k) + 1).mT  # (batch, heads, time, time)
    weights = weights.tril() if causal else weights
    expected = weights / weights.sum(-1, keepdim=True) @ v
    torch.testing.assert_close(linear_attention(q, k, v, causal), expected, atol=1e-10, rtol=1e-8)


def test_sinusoids_are_those_of_the_paper() -> None:
    table = sinusoidal_table(50, 8)
    for position in (0, 1, 17, 49):
        for pair in range(4):
            angle = torch.tensor(position / 10_000 ** (2 * pair / 8), dtype=torch.float64)
            torch.testing.assert_close(table[position, 2 * pair].double(), angle.sin(), atol=1e-5, rtol=0)
            torch.testing.assert_close(table[position, 2 * pair + 1].double(), angle.cos(), atol=1e-5, rtol=0)
    assert sinusoidal_table(3, 5).shape == (3, 5)


def test_embeddings_stand_in_place_of_ids() -> None:
    for name in MAKERS:
        model = made(name)
        torch.testing.assert_close(model(None, embeddings=model.embedding(IDS)), model(IDS))
        with pytest.raises(TypeError, match="either ids or embeddings"):
            model(IDS, embeddings=model.embedding(IDS))


def test_a_long_context_is_turned_when_it_is_met(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("rotary", "local"):
        monkeypatch.setattr(stack_module, "FIRST_TURNED", 4_096)
        whole, start = made(name)(IDS), made(name)(IDS[:, :2])
        monkeypatch.setattr(stack_module, "FIRST_TURNED", 3)
        model = made(name)
        assert len(model.stack.cos) == 3
        torch.testing.assert_close(model(IDS[:, :2]), start)
        torch.testing.assert_close(model(IDS), whole)
        assert len(model.stack.cos) == 12
        torch.testing.assert_close(made(name)(IDS, positions=torch.arange(12).expand(4, -1)), whole)


def test_the_trace_goes_on_beyond_what_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = made("rotary")(IDS)
    monkeypatch.setattr("tezgah.nn.stack.LONGEST_BLOCKED", 5)
    model, trace = made("rotary"), Trace()
    torch.testing.assert_close(model(IDS, trace=trace), whole)
    assert trace.attentions[0].shape[-1] == 12
    model.stack.recomputed = True
    model(IDS, trace=(again := Trace())).sum().backward()
    assert len(again.attentions) == 2
