"""The transformer's parts against torch's and transformers' own."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from tezgah.nn.attention import attend, explicit_attention
from tezgah.nn.blocked_attention import BlockedAttention, hidden_from, later_keys
from tezgah.nn.config import Rope
from tezgah.nn.cross_entropy import IGNORED, SoftmaxSlope, cross_entropy_sum, hits
from tezgah.nn.mlp import gelu_tanh
from tezgah.nn.norms import RMSNorm
from tezgah.nn.positions import rotary_table, rotate


def test_rotary_equals_transformers_llama():
    theirs = pytest.importorskip("transformers.models.llama.modeling_llama")
    q = torch.randn(2, 3, 5, 8)
    cos, sin = rotary_table(8, 5, Rope(10_000.0))
    expected, _ = theirs.apply_rotary_pos_emb(q, q, torch.cat((cos, cos), -1)[None], torch.cat((sin, sin), -1)[None])
    torch.testing.assert_close(rotate(q, cos, sin), expected)


def test_gelu_by_sigmoid_equals_torch_and_its_gradient():
    x = torch.linspace(-8, 8, 2001, dtype=torch.float32, requires_grad=True)
    (ours,) = torch.autograd.grad(gelu_tanh(x).sum(), x)
    (theirs,) = torch.autograd.grad(F.gelu(x, approximate="tanh").sum(), x)
    torch.testing.assert_close(gelu_tanh(x), F.gelu(x, approximate="tanh"), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_rms_norm_equals_torch():
    norm, x = RMSNorm(16, 1e-6), torch.randn(3, 5, 16)
    with torch.no_grad():
        norm.weight.normal_()
    torch.testing.assert_close(norm(x), F.rms_norm(x, (16,), norm.weight, 1e-6))


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_explicit_attention_equals_torchs_fused_kernel(kv_heads):
    q, k, v = torch.randn(2, 4, 7, 8), torch.randn(2, kv_heads, 7, 8), torch.randn(2, kv_heads, 7, 8)
    future = torch.full((7, 7), float("-inf")).triu(1)
    torch.testing.assert_close(explicit_attention(q, k, v, future, 0.0), attend(q, k, v, future))


@given(time=st.integers(1, 40), kind=st.sampled_from(["causal", "bias", "plain"]), spare=st.integers(0, 9))
def test_blocked_attention_and_its_gradients_equal_torchs_kernel(time, kind, spare):
    def random(*shape):
        return torch.randn(2, 3, *shape, dtype=torch.float64, requires_grad=True)

    q, k, v, upstream = random(time, 4), random(time, 4), random(time, 4), random(time, 4)
    bias = torch.randn(2, 1, time, time, dtype=torch.float64) if kind == "bias" else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tezgah.nn.blocked_attention.FEWEST_QUERIES", 4)
        patch.setattr("tezgah.nn.blocked_attention.LONGEST_BLOCKED", 64)
        later = later_keys(time + spare) if kind == "causal" else None
        ours = BlockedAttention.apply(q, k, v, later, bias)
        theirs = F.scaled_dot_product_attention(q, k, v, bias, is_causal=kind == "causal")
        torch.testing.assert_close(ours, theirs)
        torch.testing.assert_close(
            torch.autograd.grad(ours, (q, k, v), upstream), torch.autograd.grad(theirs, (q, k, v), upstream)
        )


def test_every_block_is_hidden_from_the_keys_after_it():
    later = later_keys(600)
    assert later.shape == (512, 600 + 512)
    block = hidden_from(later, 500, 600)
    assert torch.equal(block == 0, torch.ones(600, 600).tril().bool()[500:])


@pytest.mark.parametrize("plain_logits", [0, 1_000])
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize(("smoothing", "z_loss"), [(0.0, 0.0), (0.1, 0.0), (0.2, 0.01)])
def test_sliced_loss_and_its_gradients_equal_torchs(smoothing, z_loss, has_bias, plain_logits, monkeypatch):
    monkeypatch.setattr("tezgah.nn.cross_entropy.SLICE_LOGITS", 50)  # seven slices
    monkeypatch.setattr("tezgah.nn.cross_entropy.SLICE_ROWS", 1)
    monkeypatch.setattr("tezgah.nn.cross_entropy.PLAIN_LOGITS", plain_logits)
    hidden = torch.randn(2, 7, 6, requires_grad=True)
    weight = torch.randn(11, 6, requires_grad=True)
    bias = torch.randn(11, requires_grad=True) if has_bias else None
    targets = torch.randint(0, 11, (2, 7))
    targets[0, 3] = IGNORED
    ours, found = cross_entropy_sum(hidden, weight, targets, SoftmaxSlope(smoothing, z_loss), bias)
    logits = F.linear(hidden, weight, bias).flatten(0, 1)
    theirs = F.cross_entropy(logits, targets.flatten(), reduction="sum", label_smoothing=smoothing)
    theirs = theirs + z_loss * (logits.logsumexp(-1) ** 2)[targets.flatten() != IGNORED].sum()
    torch.testing.assert_close(ours, theirs)
    assert found == (logits.argmax(-1) == targets.flatten()).sum()
    inputs = (hidden, weight) if bias is None else (hidden, weight, bias)
    for mine, expected in zip(
        torch.autograd.grad(3 * ours, inputs), torch.autograd.grad(3 * theirs, inputs), strict=True
    ):
        torch.testing.assert_close(mine, expected)
    with torch.no_grad():  # a reading: nothing is added
        plain = F.cross_entropy(logits, targets.flatten(), reduction="sum")
        read = cross_entropy_sum(hidden, weight, targets, SoftmaxSlope(smoothing, z_loss), bias)
    torch.testing.assert_close(read.loss, plain)
    assert read.hits == found


def test_of_equal_scores_the_first_id_is_the_likeliest():
    scores = torch.randint(0, 3, (200, 5)).float()  # ties in most rows
    answers = torch.randint(0, 5, (200, 1))
    counted = torch.rand(200, 1) < 0.7
    assert hits(scores, answers, counted) == ((scores.argmax(-1, keepdim=True) == answers) & counted).sum()
