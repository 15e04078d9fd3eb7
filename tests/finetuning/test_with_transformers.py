"""A classifier's folder opens in `transformers`: the same ids, logits and names of labels; and theirs opens here."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import tezgah
from tests.finetuning.tiny import QUICK, causal_folder, encoder_folder, modern_folder, rows, write_rows
from tests.models.hugging_face import relative_error
from tezgah.finetuning.batches import batch_of
from tezgah.finetuning.classify import framed
from tezgah.models.classifier import start_classifier

TEXTS = ["maç gol 1", "meclis seçim oy bir bir bir 12", "top"]
PAIRS = ["maç", "seçim oy", "bir"]
FOLDERS: dict[str, Callable[[Path], Path]] = {
    "bert": encoder_folder,
    "modernbert": modern_folder,
    "gpt2": partial(causal_folder, shape="gpt2"),
    "qwen3": partial(causal_folder, shape="qwen3"),
}


@pytest.mark.parametrize("is_pair", [False, True], ids=["texts", "pairs"])
@pytest.mark.parametrize("base", ["bert", "modernbert", "gpt2", "qwen3"])
def test_a_folder_gives_their_logits_and_names_its_labels(base: str, is_pair: bool, tmp_path: Path) -> None:
    folder = FOLDERS[base](tmp_path / "base")
    data = write_rows(tmp_path / "data.jsonl", rows())
    settings: dict[str, Any] = QUICK | {"epochs": 1, "text_pair": "second" if is_pair else ""}
    tezgah.finetune(folder, data, tmp_path / "made", **settings)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "made").eval()
    assert theirs.config.id2label == {0: "haber", 1: "spor"}
    assert theirs.config.label2id == {"haber": 0, "spor": 1}
    assert theirs.config.problem_type == "single_label_classification"
    model, tokenizer = tezgah.load(tmp_path / "made")
    assert tokenizer is not None
    pairs = PAIRS if is_pair else None
    batch = batch_of(framed(model, tokenizer, TEXTS, pairs), np.arange(3))
    opened = transformers.AutoTokenizer.from_pretrained(tmp_path / "made")
    read = opened(TEXTS, pairs, padding=True, return_tensors="pt", padding_side="right")
    mask = read["attention_mask"]
    assert torch.equal(mask, batch.mask)
    assert torch.equal(read["input_ids"] * mask, batch.ids)
    with torch.no_grad():
        expected = theirs(**read).logits
        found = model(batch.ids, batch.mask, batch.types if base == "bert" else None)
    assert relative_error(found, expected) < 1e-5
    told = tezgah.classify(model, tokenizer, TEXTS, pairs)
    likeliest = [theirs.config.id2label[int(number)] for number in expected.argmax(-1)]
    assert [each.labels[0] for each in told] == likeliest
    for each, row in zip(told, expected.softmax(-1), strict=True):
        assert each.probabilities["spor"] == pytest.approx(float(row[1]), abs=1e-5)


def test_their_pipeline_takes_a_folder_of_several_labels(tmp_path: Path) -> None:
    listed = [row | {"label": [row["label"]] * (number % 4 > 0)} for number, row in enumerate(rows())]
    data = write_rows(tmp_path / "data.jsonl", listed)
    tezgah.finetune(causal_folder(tmp_path / "base", "gpt2"), data, tmp_path / "made", **QUICK)
    pipe: Any = transformers.pipeline("text-classification", str(tmp_path / "made"), top_k=None)
    model, tokenizer = tezgah.load(tmp_path / "made")
    assert tokenizer is not None
    for theirs, ours in zip(pipe(TEXTS), tezgah.classify(model, tokenizer, TEXTS), strict=True):
        assert {each["label"]: each["score"] for each in theirs} == pytest.approx(ours.probabilities, abs=1e-5)


def test_a_pooler_that_a_masked_model_carries_is_taken(tmp_path: Path) -> None:
    sizes: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 40}
    theirs: Any = transformers.BertForPreTraining(transformers.BertConfig(**sizes, intermediate_size=16))
    theirs.save_pretrained(tmp_path)
    model = start_classifier(tmp_path, ("a", "b"))
    assert torch.equal(model.pooler.weight, theirs.bert.pooler.dense.weight)
    assert torch.equal(model.pooler.bias, theirs.bert.pooler.dense.bias)
