import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from tezgah.errors import InputError
from tezgah.evaluation.bits_per_byte import Evaluation, evaluate_documents
from tezgah.evaluation.windows import batches, windows_of
from tezgah.models.build import build_config, build_model
from tezgah.models.checkpoint import save_model
from tezgah.models.settings import ModelSettings

SEPARATOR = 0


class Stream:
    """Documents given as lists of ids; a token is two bytes."""

    def __init__(self, documents):
        self.ids = np.array([SEPARATOR, *(i for document in documents for i in [*document, SEPARATOR])], np.uint16)
        self.offsets = np.concatenate(([0], np.cumsum([len(document) + 1 for document in documents])))
        self.bytes = np.array([2 * len(document) for document in documents], np.int64)

    def __getitem__(self, place):
        return self.ids[place]


class Uniform(torch.nn.Module):
    """Knows nothing: ln(vocab_size) nats for every target. Notes the shapes it is given."""

    def __init__(self, vocab_size, context_length):
        super().__init__()
        self.config = SimpleNamespace(vocab_size=vocab_size, context_length=context_length)
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.shapes = []

    def loss(self, ids, targets):
        assert not self.training
        assert not torch.is_grad_enabled()
        self.shapes.append(tuple(ids.shape))
        return (targets != -100).sum().double() * math.log(self.config.vocab_size)


class Pairs(torch.nn.Module):
    """Scores the next token from the last two inputs, in float64: a wrong first input shows."""

    def __init__(self, vocab_size, context_length):
        super().__init__()
        self.config = SimpleNamespace(vocab_size=vocab_size, context_length=context_length)
        generator = torch.Generator().manual_seed(1)
        self.table = torch.nn.Parameter(
            torch.randn(2, vocab_size, vocab_size, generator=generator, dtype=torch.float64)
        )

    def loss(self, ids, targets):
        scores = self.table[0, ids]
        scores[:, 1:] += self.table[1, ids[:, :-1]]
        return F.cross_entropy(scores.flatten(0, 1), targets.flatten(), reduction="sum")


def evaluate(model: Any, *arguments: Any, **settings: Any) -> Evaluation:
    """Any of the models above, or a real one."""
    return evaluate_documents(model, *arguments, **settings)


def document_by_document(log_probabilities, documents, context_length):
    """The plain way: nats of every token of every document and of its closing separator.

    `log_probabilities` gives those of what follows a list of ids.
    """
    nats = 0.0
    for document in documents:
        text = [SEPARATOR, *document, SEPARATOR]
        for place in range(1, len(text)):
            window_start = (place - 1) // context_length * context_length
            nats -= log_probabilities(text[window_start:place])[text[place]].item()
    return nats


documents_of = st.lists(st.lists(st.integers(0, 6), max_size=40), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(documents=documents_of, context_length=st.integers(1, 40), batch_size=st.integers(1, 9))
def test_batches_of_windows_equal_one_document_and_one_token_at_a_time(documents, context_length, batch_size):
    if not any(documents):
        return
    model = Pairs(7, context_length)

    def log_probabilities(ids):
        scores = model.table[0, ids[-1]] + (model.table[1, ids[-2]] if len(ids) > 1 else 0)
        return scores.detach().log_softmax(-1)

    nats = document_by_document(log_probabilities, documents, context_length)
    reading = evaluate(model, Stream(documents), batch_size)
    tokens, size_bytes = sum(map(len, documents)), 2 * sum(map(len, documents))
    assert (reading.tokens, reading.bytes, reading.documents) == (tokens + len(documents), size_bytes, len(documents))
    assert reading.loss == pytest.approx(nats / reading.tokens, rel=1e-12)
    assert reading.perplexity == pytest.approx(math.exp(nats / reading.tokens), rel=1e-12)
    assert reading.bits_per_byte == pytest.approx(nats / math.log(2) / size_bytes, rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(documents=documents_of, context_length=st.integers(1, 40), batch_size=st.integers(1, 9))
def test_a_model_that_knows_nothing_needs_log2_of_the_vocabulary_for_every_token(documents, context_length, batch_size):
    if not any(documents):
        return
    reading = evaluate(Uniform(1_000, context_length), Stream(documents), batch_size)
    tokens = sum(map(len, documents))
    assert reading.bits_per_byte == pytest.approx(
        math.log2(1_000) * (tokens + len(documents)) / (2 * tokens), rel=1e-12
    )
    assert reading.perplexity == pytest.approx(1_000)


@given(documents=documents_of, context_length=st.integers(1, 40))
def test_every_token_but_the_first_separator_is_predicted_exactly_once(documents, context_length):
    stream = Stream(documents)
    _, starts, lengths, _ = windows_of(stream.offsets, np.arange(len(documents)), context_length)
    predicted = [start + 1 + place for start, length in zip(starts, lengths, strict=True) for place in range(length)]
    assert predicted == list(range(1, len(stream.ids)))
    assert max(lengths) <= context_length


@given(
    lengths=st.lists(st.integers(1, 512), min_size=1, max_size=200),
    batch_size=st.integers(1, 20),
)
def test_batches_hold_every_window_once_in_few_shapes(lengths, batch_size):
    found = list(batches(np.array(lengths), batch_size, 512))
    assert sorted(row for rows, _ in found for row in rows) == list(range(len(lengths)))
    assert all(lengths[row] <= shape[1] for rows, shape in found for row in rows)
    assert len({shape for _, shape in found}) <= 6
    assert sum(len(rows) < shape[0] for rows, shape in found) <= 1
    if len(lengths) < batch_size:
        ((_, shape),) = found
        assert shape[0] == len(lengths)


def test_only_the_documents_asked_for_are_read():
    documents = [[1, 2, 3], [4], [5, 6, 1, 2, 3, 4, 5], [6, 6]]
    model = Pairs(7, 4)
    some = evaluate(model, Stream(documents), documents=np.array([0, 2]))
    assert some == evaluate(model, Stream([documents[0], documents[2]]))
    assert some.documents == 2
    assert evaluate(model, Stream(documents), documents=range(4)) == evaluate(model, Stream(documents))


def test_short_documents_do_not_pay_for_the_context():
    model = Uniform(10, 1_024)
    evaluate(model, Stream([[1] * 20] * 64 + [[1] * 900]), batch_size=8)
    assert model.shapes == [(8, 32)] * 8 + [(8, 1_024)]


@pytest.mark.parametrize("shape", ["qwen3", "gpt2"])
def test_bits_per_byte_equal_those_of_transformers(shape, tmp_path):
    table = ModelSettings(shape=shape, n_layers=2, width=32, n_heads=2, context_length=16)
    model = build_model(build_config(table, vocab_size=50), seed=1)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    save_model(model, tmp_path, SEPARATOR)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    documents = [torch.randint(1, 50, (size,), generator=generator).tolist() for size in (40, 3, 16, 15, 1)]
    with torch.no_grad():
        nats = document_by_document(
            lambda ids: theirs(torch.tensor([ids])).logits[0, -1].double().log_softmax(-1), documents, 16
        )
    reading = evaluate(model, Stream(documents), batch_size=4)
    assert reading.bits_per_byte == pytest.approx(nats / math.log(2) / 150, rel=1e-5)
    half = evaluate(model, Stream(documents), batch_size=4, autocast=torch.bfloat16)
    assert half.loss == pytest.approx(reading.loss, rel=2e-2)
    assert half.loss != reading.loss


def test_modes_come_back_and_progress_counts_tokens(monkeypatch):
    moves = []

    def progress(title, total, unit, done=0):
        moves.append(-total)
        return Bar()

    class Bar:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

        def advance(self, amount=1, note=""):
            moves.append(amount)

    monkeypatch.setattr("tezgah.console.progress", progress)
    model = Uniform(10, 8).train()
    evaluate(model, Stream([[1] * 20] * 5), batch_size=3, show_progress=True)
    assert model.training
    assert sum(moves) == 0
    assert len(moves) > 3


def test_nothing_to_read_and_a_broken_model_are_refused():
    with pytest.raises(InputError, match="2 documents to evaluate hold no text"):
        evaluate(Uniform(10, 8), Stream([[], []]))
    broken = Pairs(7, 8)
    with torch.no_grad():
        broken.table.fill_(math.nan)
    with pytest.raises(InputError, match="a loss of nan nats"):
        evaluate(broken, Stream([[1, 2]]))
