import math
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from tezgah.errors import InputError
from tezgah.evaluation.bits_per_byte import evaluate_documents
from tezgah.evaluation.detailed import evaluate_detailed
from tezgah.evaluation.texts import TextDocuments
from tezgah.evaluation.windows import windows_of
from tezgah.models.build import build_config, build_model
from tezgah.models.checkpoint import save_model
from tezgah.models.settings import ModelSettings
from tezgah.tokenizer.tokenizer import Tokenizer

CONTEXT = 16
TEXTS = ["Kedi süt içti, sonra uyudu.\n\nSabah oldu.", "a", "def twice(x):\n    return 2 * x\n" * 4, "  iki  kelime "]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(TEXTS, vocab_size=270)


@pytest.fixture(scope="module")
def model(tokenizer):
    table = ModelSettings(shape="qwen3", n_layers=2, width=32, n_heads=2, context_length=CONTEXT)
    made = build_model(build_config(table, vocab_size=tokenizer.vocab_size), seed=1)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
    return made


@pytest.fixture(scope="module")
def theirs(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    save_model(model, folder, 0)
    return transformers.AutoModelForCausalLM.from_pretrained(folder)


def strided_loop(theirs: Any, ids: list[int], max_length: int, stride: int) -> tuple[float, int]:
    """The loop of "Perplexity of fixed-length models" in the documentation of transformers, as it stands there.

    It gives nats; a mean over a window is multiplied by the number of targets in it, as they do.
    """
    encodings = torch.tensor([ids])
    seq_len = encodings.size(1)
    nll_sum, n_tokens, prev_end_loc = 0.0, 0, 0
    for begin_loc in range(0, seq_len, stride):
        end_loc = min(begin_loc + max_length, seq_len)
        trg_len = end_loc - prev_end_loc
        input_ids = encodings[:, begin_loc:end_loc]
        target_ids = input_ids.clone()
        target_ids[:, :-trg_len] = -100
        with torch.no_grad():
            neg_log_likelihood = theirs(input_ids, labels=target_ids).loss
        num_valid_tokens = int((target_ids != -100).sum().item())
        batch_size = target_ids.size(0)
        num_loss_tokens = num_valid_tokens - batch_size * int((target_ids[:, 0] != -100).sum().item())
        nll_sum += neg_log_likelihood * num_loss_tokens
        n_tokens += num_loss_tokens
        prev_end_loc = end_loc
        if end_loc == seq_len:
            break
    return float(nll_sum), n_tokens


@pytest.mark.parametrize("stride", [1, 5, 8, 16])
def test_the_strided_loss_is_that_of_the_documented_loop(stride, model, theirs, tokenizer):
    stream = TextDocuments(tokenizer, TEXTS)
    nats, tokens = 0.0, 0
    for first, last in zip(stream.offsets, stream.offsets[1:], strict=False):
        found = strided_loop(theirs, stream.ids[first : last + 1].tolist(), CONTEXT + 1, stride)
        nats += found[0]
        tokens += found[1]
    ours = evaluate_detailed(model, tokenizer, stream, 3, stride)
    assert ours.tokens == tokens
    assert ours.loss == pytest.approx(nats / tokens, rel=1e-5)


def test_without_a_stride_it_is_the_loss_of_whole_documents(model, tokenizer):
    stream = TextDocuments(tokenizer, TEXTS)
    whole, detailed = evaluate_documents(model, stream, 3), evaluate_detailed(model, tokenizer, stream, 3)
    for name in ("loss", "perplexity", "bits_per_byte", "tokens", "bytes", "documents"):
        assert getattr(detailed, name) == pytest.approx(getattr(whole, name), rel=1e-6)


def test_the_parts_are_those_of_transformers_logits(model, theirs, tokenizer):
    stream = TextDocuments(tokenizer, TEXTS)
    rows = []  # (place, id, nats, confidence, right, document)
    for document, (first, last) in enumerate(zip(stream.offsets, stream.offsets[1:], strict=False)):
        ids = stream.ids[first : last + 1].tolist()
        for start in range(0, len(ids) - 1, CONTEXT):
            piece = ids[start : start + CONTEXT + 1]
            with torch.no_grad():
                scores = theirs(torch.tensor([piece[:-1]])).logits[0].double().log_softmax(-1)
            for place, answer in enumerate(piece[1:]):
                top = scores[place].max()
                row = (place + 1, answer, -scores[place, answer], top.exp(), scores[place].argmax() == answer, document)
                rows.append([float(each) for each in row])
    table = np.array(rows)
    ours = evaluate_detailed(model, tokenizer, stream, 4, sources={"prose": np.array([0, 3]), "code": np.array([2])})
    words = sum(len(text.split()) for text in TEXTS)
    assert ours.words == words
    assert ours.word_perplexity == pytest.approx(math.exp(table[:, 2].sum() / words), rel=1e-4)
    for step in ours.by_position:
        own = table[(step.first <= table[:, 0]) & (table[:, 0] <= step.last)]
        size = sum(len(tokenizer.decode_bytes([int(each)])) for each in own[:, 1] if each != tokenizer.separator_id)
        assert step.tokens == len(own)
        assert step.loss == pytest.approx(own[:, 2].mean(), rel=1e-4)
        assert step.bits_per_byte == pytest.approx(own[:, 2].sum() / math.log(2) / size, rel=1e-4)
    assert [(each.first, each.last) for each in ours.by_position] == [(1, 1), (2, 3), (4, 7), (8, 15), (16, 16)]
    code = table[table[:, 5] == 2]
    assert list(ours.by_source) == ["prose", "code"]
    assert ours.by_source["code"].loss == pytest.approx(code[:, 2].mean(), rel=1e-4)
    assert ours.by_source["code"].bits_per_byte == pytest.approx(
        code[:, 2].sum() / math.log(2) / len(TEXTS[2].encode()), rel=1e-4
    )
    steps = np.minimum((table[:, 3] * 15).astype(int), 14)
    error = sum(
        abs(table[steps == each, 3].mean() - table[steps == each, 4].mean()) * (steps == each).mean()
        for each in set(steps)
    )
    assert ours.calibration_error == pytest.approx(error, abs=1e-5)
    assert sum(each.predictions for each in ours.reliability) == ours.tokens


@settings(max_examples=80)
@given(
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=6),
    context_length=st.integers(1, 20),
    data=st.data(),
)
def test_strided_windows_predict_every_token_once_with_enough_before_it(sizes, context_length, data):
    stride = data.draw(st.integers(1, context_length))
    offsets = np.concatenate(([0], np.cumsum(np.array(sizes) + 1)))
    found = windows_of(offsets, np.arange(len(sizes)), context_length, stride)
    predicted = []
    for document, start, length, context in zip(*found, strict=True):
        assert length <= context_length
        for place in range(context, length):
            predicted.append(start + 1 + place)
            seen = place + 1
            in_document = start + 1 + place - offsets[document]
            assert seen >= min(in_document, context_length - stride + 1)
    assert predicted == list(range(1, offsets[-1] + 1))


def test_bad_strides_and_texts_without_words_are_refused(model, tokenizer):
    with pytest.raises(InputError, match="stride is 17 and the model sees 16 tokens at once"):
        evaluate_detailed(model, tokenizer, TextDocuments(tokenizer, ["a"]), stride=17)
    with pytest.raises(InputError, match="white space alone"):
        evaluate_detailed(model, tokenizer, TextDocuments(tokenizer, ["\n  \n"]))
    with pytest.raises(InputError, match="hold no text"):
        evaluate_detailed(model, tokenizer, TextDocuments(tokenizer, [""]))
