import pytest
import torch
import transformers

from tezgah.evaluation.continuations import score_continuations
from tezgah.models.build import build_config, build_model
from tezgah.models.checkpoint import save_model
from tezgah.models.settings import ModelSettings
from tezgah.tokenizer.tokenizer import Tokenizer

PAIRS = [("Kedi süt", " içti."), ("", "bir iki"), ("a", ""), ("def f(x):\n", "    return x + 1\n" * 3)]


def test_a_continuation_costs_what_transformers_logits_say(tmp_path):
    tokenizer = Tokenizer.train([a + b for a, b in PAIRS], vocab_size=262)
    table = ModelSettings(shape="qwen3", n_layers=1, width=32, n_heads=2, context_length=64)
    model = build_model(build_config(table, vocab_size=tokenizer.vocab_size), seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)), alpha=0.3)
    save_model(model, tmp_path, 0)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    found = score_continuations(model, tokenizer, PAIRS, batch_size=3)
    for (prompt, text), ours in zip(PAIRS, found, strict=True):
        before = tokenizer.encode(prompt).tolist() or [tokenizer.separator_id]
        after = tokenizer.encode(text).tolist()
        with torch.no_grad():
            scores = theirs(torch.tensor([before + after])).logits[0].double().log_softmax(-1)
        nats = -sum(float(scores[len(before) - 1 + place, each]) for place, each in enumerate(after))
        assert ours.nats == pytest.approx(nats, rel=1e-5)
        assert (ours.tokens, ours.bytes) == (len(after), len(text.encode()))
    assert score_continuations(model, tokenizer, [("a", "")])[0].nats == 0


def test_a_continuation_longer_than_the_context_is_read_in_windows():
    tokenizer = Tokenizer.train(["abc"], vocab_size=257)
    table = ModelSettings(shape="qwen3", n_layers=1, width=32, n_heads=2, context_length=8)
    model = build_model(build_config(table, vocab_size=tokenizer.vocab_size), seed=1)
    (whole,) = score_continuations(model, tokenizer, [("a", "b" * 40)])
    assert whole.tokens == 40
    assert whole.nats > score_continuations(model, tokenizer, [("a", "b" * 20)])[0].nats > 0
