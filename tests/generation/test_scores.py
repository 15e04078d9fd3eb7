"""Log-probabilities against those of `transformers`' logits."""

from typing import Any

import pytest
import torch
import transformers

from tezgah.errors import InputError
from tezgah.generation import scores
from tezgah.generation.completions import complete
from tezgah.generation.generate import make_settings
from tezgah.generation.scores import score_texts
from tezgah.models.build import build_config, build_model
from tezgah.models.checkpoint import load_model, save_model
from tezgah.models.settings import ModelSettings

SHAPES = {
    "gpt2": ModelSettings(shape="gpt2", n_layers=2, width=32, n_heads=4, context_length=48),
    "qwen3": ModelSettings(n_layers=2, width=32, n_heads=4, n_kv_heads=2, context_length=48),
}


@pytest.fixture(scope="module", params=SHAPES)
def pair(request, tmp_path_factory) -> Any:
    """One of ours and the same in `transformers`, in float64, with more rows than a tokenizer of bytes has ids."""
    made: Any = build_model(build_config(SHAPES[request.param], 264), seed=3)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim == 2:
                parameter.mul_(3)
    folder = tmp_path_factory.mktemp("pair")
    save_model(made, folder, separator_id=0)
    theirs: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    return load_model(folder, torch.float64).eval(), theirs.eval()


def rates_of(theirs: Any, ids: list[int]) -> torch.Tensor:
    """Log-probabilities of what follows each id, (time, vocab)."""
    with torch.no_grad():
        rates: torch.Tensor = theirs(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return rates


def check(found: Any, expected: torch.Tensor, ids: list[int], top: int) -> None:
    for each, rates, chosen in zip(found, expected, ids, strict=True):
        assert each.chosen == pytest.approx(rates[chosen].item(), abs=1e-7)
        best = rates[:257].topk(top)
        assert [token_id for token_id, _ in each.top] == best.indices.tolist()
        assert [rate for _, rate in each.top] == pytest.approx(best.values.tolist(), abs=1e-7)


def test_scores_of_texts_are_those_of_transformers(pair, byte_tokenizer, monkeypatch):
    monkeypatch.setattr(scores, "AT_ONCE", 5)
    ours, theirs = pair
    for each in score_texts(ours, byte_tokenizer, ["merhaba dünya", "x", "def f():\n    return 1\n"], top=3):
        assert each.ids == byte_tokenizer.encode(each.text).tolist()
        check(each.logprobs, rates_of(theirs, [0, *each.ids])[:-1], each.ids, 3)


def test_a_text_longer_than_the_context_is_scored_as_generation_sees_it(pair, byte_tokenizer):
    ours, theirs = pair
    text = "ab cd ef gh " * 12
    (found,) = score_texts(ours, byte_tokenizer, [text])
    window, expected = [0], []
    for each in found.ids:
        expected.append(rates_of(theirs, window)[-1, each].item())
        window.append(each)
        window = window if len(window) <= 48 else window[-24:]
    assert [each.chosen for each in found.logprobs] == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("temperature", [0.0, 1.3])
def test_those_of_chosen_tokens_are_the_models_own_whatever_chose_them(pair, byte_tokenizer, temperature):
    ours, theirs = pair
    settings = make_settings(
        {"temperature": temperature, "top_k": 9, "repetition_penalty": 1.5, "n": 2, "logprobs": 4, "max_new_tokens": 12}
    )
    for each in complete(ours, byte_tokenizer, ["merhaba", "x"], settings):
        prompt = byte_tokenizer.encode(["merhaba", "x"][each.prompt]).tolist()
        expected = rates_of(theirs, [*prompt, *each.ids])[len(prompt) - 1 : -1]
        check(each.logprobs, expected, each.ids, 4)


def test_without_being_asked_none_are_kept(pair, byte_tokenizer):
    (found,) = complete(pair[0], byte_tokenizer, ["x"], make_settings({"max_new_tokens": 3}))
    assert found.logprobs == []


def test_an_empty_text_is_refused(pair, byte_tokenizer):
    with pytest.raises(InputError, match="a text is empty"):
        score_texts(pair[0], byte_tokenizer, ["a", ""])
