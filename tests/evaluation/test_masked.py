"""Masked accuracy of texts with fixed masks, against the plain loop over every mask, and through every door."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import tezgah
from tezgah.cli import main
from tezgah.errors import InputError
from tezgah.evaluation.masked import MaskedEvaluation, evaluate_masked_texts
from tezgah.models.checkpoint import save_model
from tezgah.tokenizer.mask import mask_token

TEXTS = [f"Bir gün {number} kedi, kapıdaki {number % 3} fareye güldü." for number in range(12)]
CONTEXT = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tokenizer = tezgah.Tokenizer.train(TEXTS, 290, mask=True)
    sizes: dict[str, Any] = {"n_layers": 1, "width": 16, "n_heads": 2, "context_length": CONTEXT}
    model: Any = tezgah.new_model(tokenizer.vocab_size, objective="mlm", shape="bert", **sizes)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)  # so that it does not hold all tokens alike
    save_model(model, folder, tokenizer.separator_id)
    tokenizer.save(folder)
    return folder


@pytest.fixture(scope="module")
def opened(folder: Path) -> Any:
    return tezgah.load(folder)


def test_every_fixed_mask_counts_as_their_model_scores_it(folder: Path, opened: Any, monkeypatch: Any) -> None:
    batches: list[tuple[Any, Any]] = []
    model, tokenizer = opened
    scored = type(model).scored

    def watched(self: Any, ids: Any, targets: Any) -> Any:
        batches.append((ids, targets))
        return scored(self, ids, targets)

    monkeypatch.setattr(type(model), "scored", watched)
    found = evaluate_masked_texts(model, tokenizer, TEXTS, batch_size=3)
    assert len(batches) > 1
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()
    nats, hits, masked = 0.0, 0, 0
    for ids, targets in batches:
        assert torch.equal(targets >= 0, ids == mask_token(tokenizer).id)
        with torch.no_grad():
            scores = theirs(ids).logits.log_softmax(-1)
        for row, place in (targets >= 0).nonzero().tolist():
            nats -= float(scores[row, place, targets[row, place]])
            hits += int(scores[row, place].argmax() == targets[row, place])
            masked += 1
    assert found.masked == masked > 10
    assert found.loss == pytest.approx(nats / masked, rel=1e-4) and found.masked_accuracy == hits / masked
    assert found.perplexity == pytest.approx(math.exp(nats / masked), rel=1e-3)
    words = [word for text in TEXTS for word in text.split()]
    per_word = sum(len(tokenizer.encode(f" {word}")) for word in words) / len(words)
    assert found.word_perplexity == pytest.approx(math.exp(nats / masked * per_word), rel=1e-3)
    stream = [token for text in TEXTS for token in (tokenizer.separator_id, *tokenizer.encode(text))]
    read = torch.cat([torch.where(targets >= 0, targets, ids).flatten() for ids, targets in batches])
    assert read[: len(stream)].tolist() == stream  # every token once


def test_the_verb_and_the_function_say_the_same(folder: Path, opened: Any, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "a.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    expected = tezgah.evaluate(opened[0], opened[1], ["\n".join(TEXTS)])
    assert isinstance(expected, MaskedEvaluation)
    assert main(["evaluate", str(folder), str(tmp_path / "a.txt"), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value.pop("model") == str(folder)
    assert set(value) == {"loss", "perplexity", "masked_accuracy", "masked", "word_perplexity"}
    assert value["masked_accuracy"] == expected.masked_accuracy and value["masked"] == expected.masked
    assert value["loss"] == pytest.approx(expected.loss, rel=0.02)  # bf16 on some machines
    assert main(["evaluate", str(folder), str(tmp_path / "a.txt")]) == 0
    told = [line.rsplit(maxsplit=1)[0].strip() for line in capsys.readouterr().out.splitlines()]
    assert told == ["model", "loss", "perplexity", "masked accuracy", "masked", "word perplexity"]


def test_text_or_a_run_is_needed(folder: Path, opened: Any, capsys: Any) -> None:
    assert main(["evaluate", str(folder)]) == 2
    assert f"{folder}: belongs to no run, so it has no held-out text. Name files" in capsys.readouterr().err
    with pytest.raises(InputError, match="the 2 documents to evaluate hold no text"):
        tezgah.evaluate(opened[0], opened[1], ["", ""])
    with pytest.raises(InputError, match="the 3 tokens to evaluate are too few: none of them is masked"):
        tezgah.evaluate(opened[0], opened[1], ["a"])
    maskless = tezgah.Tokenizer.train(TEXTS, 280)
    with pytest.raises(InputError, match=r"the tokenizer has no \[MASK\]"):
        tezgah.evaluate(opened[0], maskless, TEXTS)
