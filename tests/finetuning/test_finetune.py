"""A classifier is trained, kept at its best, measured, written whole, and used."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import tezgah
from tests.finetuning.tiny import CONTEXT, QUICK, causal_folder, encoder_folder, modern_folder, rows, write_rows
from tezgah import cli
from tezgah.errors import InputError
from tezgah.finetuning import training
from tezgah.finetuning.batches import batch_of, epoch_batches, sorted_batches
from tezgah.finetuning.metrics import measure
from tezgah.finetuning.settings import FinetuneSettings
from tezgah.models.checkpoint import load_model, read_config
from tezgah.models.classifier import classifier_config, fresh_classifier, start_classifier
from tezgah.tokenizer.framed import Framed


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encoder_folder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("data") / "data.jsonl", rows())


@pytest.fixture(scope="module")
def classifier(encoder: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "classifier"
    tezgah.finetune(encoder, data, folder, **QUICK)
    return folder


def test_classes_that_words_tell_are_learned_and_the_folder_is_whole(classifier: Path) -> None:
    record = json.loads((classifier / "finetune.json").read_text())
    assert record["measured"]["macro_f1"] == 1.0
    assert record["labels"] == ["haber", "spor"] and record["counts"] == {"haber": 24, "spor": 24}
    assert record["measured"]["texts"] == 4 and record["trained_texts"] == 44
    assert record["history"][0]["loss"] > record["history"][-1]["loss"]
    names = {path.name for path in classifier.iterdir()}
    assert names >= {"config.json", "model.safetensors", "tokenizer.json", "report.html", "confusion.png"}
    page = (classifier / "report.html").read_text()
    assert "haber" in page and "http" not in page.replace("http-equiv", "")


def test_a_classifier_labels_texts_through_both_doors(classifier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, tokenizer = tezgah.load(classifier)
    assert tokenizer is not None
    found = tezgah.classify(model, tokenizer, ["gol maç", "meclis seçim oy"])
    assert [each.labels for each in found] == [["spor"], ["haber"]]
    assert sum(found[0].probabilities.values()) == pytest.approx(1)
    assert cli.main(["classify", str(classifier), "gol maç", "meclis seçim oy", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert [each["labels"] for each in value["texts"]] == [["spor"], ["haber"]]
    assert cli.main(["classify", str(classifier), "gol maç"]) == 0
    row = capsys.readouterr().out.splitlines()[1].split()
    assert row[0] == "spor" and float(row[1]) > 0.5 and row[2:] == ["gol", "maç"]


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(
    encoder: Path, data: Path, classifier: Path, tmp_path: Path
) -> None:
    tezgah.finetune(encoder, data, tmp_path / "again", **QUICK)
    tezgah.finetune(encoder, data, tmp_path / "other", **QUICK, seed=2)
    weights = (classifier / "model.safetensors").read_bytes()
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == weights
    assert (tmp_path / "other" / "model.safetensors").read_bytes() != weights


def test_the_body_comes_from_the_folder_and_the_head_is_fresh(encoder: Path, tmp_path: Path) -> None:
    body, model = load_model(encoder), start_classifier(encoder, ("a", "b", "c"), seed=5)
    held, found = dict(body.named_parameters()), dict(model.named_parameters())
    fresh = set(found) - set(held)
    assert fresh == {"classifier.weight", "classifier.bias", "pooler.weight", "pooler.bias"}
    assert all(torch.equal(found[name], held[name]) for name in set(found) & set(held))
    again, other = (start_classifier(encoder, ("a", "b", "c"), seed=seed) for seed in (5, 6))
    assert torch.equal(again.classifier.weight, model.classifier.weight)
    assert not torch.equal(other.classifier.weight, model.classifier.weight)
    with_pooler = encoder_folder(tmp_path, head="pooler")
    pooler = load_file(with_pooler / "model.safetensors")["pooler.dense.weight"]
    assert torch.equal(start_classifier(with_pooler, ("a", "b")).pooler.weight, pooler)


def test_several_labels_and_pairs_and_every_family_are_learned(tmp_path: Path) -> None:
    several = [row | {"label": [row["label"], "kısa"][: 1 + (len(row["text"]) < 12)]} for row in rows()]
    path = write_rows(tmp_path / "several.jsonl", several)
    for number, shape in enumerate(("gpt2", "qwen3")):
        base = causal_folder(tmp_path / f"base{number}", shape)
        settings: dict[str, Any] = QUICK | {"text_pair": "second" if number else ""}
        record = tezgah.finetune(base, path, tmp_path / f"made{number}", **settings)
        assert record.is_multi and record.labels == ["haber", "kısa", "spor"]
        assert record.history[-1].loss < 0.8 * record.history[0].loss
        assert record.measured.confusion == []
        model, tokenizer = tezgah.load(tmp_path / f"made{number}")
        assert tokenizer is not None and model.config.multi_label
        found = tezgah.classify(model, tokenizer, ["maç gol 1"], ["maç"] if number else None)
        assert all(0 <= each <= 1 for each in found[0].probabilities.values())
        with pytest.raises(InputError, match="is a classifier of texts"):
            tezgah.evaluate(model, tokenizer, ["a"])


@pytest.mark.parametrize("folder", [modern_folder, causal_folder])
def test_a_modern_encoder_and_a_causal_model_learn_what_words_tell(folder: Any, data: Path, tmp_path: Path) -> None:
    record = tezgah.finetune(folder(tmp_path / "base"), data, tmp_path / "made", **QUICK)
    assert record.measured.macro_f1 == 1.0 and record.labels == ["haber", "spor"]
    model, tokenizer = tezgah.load(tmp_path / "made")
    assert tokenizer is not None
    found = tezgah.classify(model, tokenizer, ["gol maç 2", "meclis seçim bir bir 3"])
    assert [each.labels for each in found] == [["spor"], ["haber"]]


def test_folds_measure_every_text_once(encoder: Path, data: Path, tmp_path: Path) -> None:
    record = tezgah.finetune(encoder, data, tmp_path / "made", **QUICK, folds=2)
    assert record.measured.texts == 48 and len(record.folds) == 2
    assert record.trained_texts == 48 and record.history[0].macro_f1 is None


def test_a_given_file_is_measured_on_and_class_weights_change_the_loss(
    encoder: Path, data: Path, tmp_path: Path
) -> None:
    valid = write_rows(tmp_path / "valid.jsonl", [row | {"text": row["text"] + " x"} for row in rows(10)])
    uneven = write_rows(tmp_path / "uneven.jsonl", [row for row in rows() if row["label"] == "spor"] + rows(6)[1::2])
    told: dict[str, Any] = QUICK | {"valid": str(valid), "epochs": 1}
    plain = tezgah.finetune(encoder, uneven, tmp_path / "plain", **told)
    weighed = tezgah.finetune(encoder, uneven, tmp_path / "weighed", **told, class_weights=True)
    assert plain.measured.texts == weighed.measured.texts == 10
    assert plain.history[0].loss != weighed.history[0].loss
    assert any("uneven" in note for note in plain.notes)


def test_longer_texts_are_counted_and_their_beginning_read(encoder: Path, tmp_path: Path, capsys: Any) -> None:
    long = [row | {"text": row["text"] + " oy" * 30} if row["label"] == "haber" else row for row in rows()]
    record = tezgah.finetune(encoder, write_rows(tmp_path / "a.jsonl", long), tmp_path / "made", **QUICK)
    assert record.cut_texts == 24
    assert f"24 texts are longer than the context of {CONTEXT} tokens" in capsys.readouterr().err


def test_the_best_epoch_is_kept_and_patience_ends_training(
    encoder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured, told = measure, iter([0.2, 0.9, 0.5, 0.4, 0.3])
    weights: list[dict[str, torch.Tensor]] = []
    train = training.train

    def at_each_epoch(model: Any, ours: Any, theirs: Any, settings: Any, place: Any, tell: Any) -> Any:
        def keep(epoch: training.Epoch) -> None:
            weights.append({name: each.detach().clone() for name, each in model.named_parameters()})

        return train(model, ours, theirs, settings, place, keep)

    monkeypatch.setattr("tezgah.finetuning.run.train", at_each_epoch)
    monkeypatch.setattr(
        training, "measure", lambda *given: msgspec.structs.replace(measured(*given), macro_f1=next(told))
    )
    record = tezgah.finetune(encoder, data, tmp_path / "made", **QUICK | {"epochs": 5, "patience": 2})
    assert [each.macro_f1 for each in record.history] == [0.2, 0.9, 0.5, 0.4] and record.best_epoch == 2
    kept = dict(load_model(tmp_path / "made").named_parameters())
    assert all(torch.equal(kept[name], weights[1][name]) for name in kept)
    assert not torch.equal(kept["classifier.weight"], weights[3]["classifier.weight"])


def test_a_stop_keeps_the_best_so_far(
    encoder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = epoch_batches

    def stopped_in(epoch_of_stop: int) -> Any:
        def order(lengths: Any, batch_size: int, seed: int, epoch: int) -> Any:
            if epoch == epoch_of_stop:
                raise KeyboardInterrupt
            return batches(lengths, batch_size, seed, epoch)

        return order

    words = ["finetune", str(encoder), str(data), "--epochs", "4", "--lr", "0.01"]
    monkeypatch.setattr(training, "epoch_batches", stopped_in(0))
    assert cli.main([*words, "-o", str(tmp_path / "none")]) == 130
    assert not (tmp_path / "none").exists()
    monkeypatch.setattr(training, "epoch_batches", stopped_in(2))
    assert cli.main([*words, "-o", str(tmp_path / "some")]) == 130
    record = json.loads((tmp_path / "some" / "finetune.json").read_text())
    assert record["stopped"] and len(record["history"]) == 2
    assert "Stopped by the user" in (tmp_path / "some" / "report.html").read_text()


def test_blocks_learn_slower_the_deeper_they_lie(encoder: Path) -> None:
    model = start_classifier(encoder, ("a", "b"))
    groups = training.layer_groups(model, FinetuneSettings(lr=1.0, layer_decay=0.5))
    rates = {name: group["lr"] for group in groups for name, _ in group["params"]}
    assert set(rates) == {name for name, _ in model.named_parameters()}
    assert rates["classifier.weight"] == rates["pooler.bias"] == 1.0
    assert rates["stack.blocks.0.mlp.up.weight"] == 0.5
    assert rates["embedding.weight"] == rates["positions.weight"] == rates["embedding_norm.weight"] == 0.25
    decays = {name: group["weight_decay"] for group in groups for name, _ in group["params"]}
    assert decays["classifier.bias"] == 0 < decays["classifier.weight"]
    default = training.layer_groups(model, FinetuneSettings())
    assert max(group["lr"] for group in default) == training.default_rate(16) == training.LARGEST_RATE


def test_batches_hold_every_row_once_and_little_padding() -> None:
    lengths = np.random.default_rng(1).integers(1, 100, 1_000)
    for epoch in range(2):
        batches = epoch_batches(lengths, 8, seed=1, epoch=epoch)
        assert sorted(np.concatenate(batches).tolist()) == list(range(1_000))
        padded = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
        assert padded < 1.1 * lengths.sum()
    first, second = (np.concatenate(epoch_batches(lengths, 8, 1, epoch)) for epoch in range(2))
    assert not np.array_equal(first, second)
    read = sorted_batches(lengths, 8)
    assert sorted(np.concatenate(read).tolist()) == list(range(1_000))


def test_padding_changes_no_score(encoder: Path) -> None:
    model = start_classifier(encoder, ("a", "b")).eval()
    ids = [[2, 9, 8, 3], [2, 7, 3]]
    rows = Framed(ids, [[0] * len(row) for row in ids], np.array([4, 3]), np.zeros(2, bool))
    both, alone = batch_of(rows, np.array([0, 1])), batch_of(rows, np.array([1]))
    with torch.no_grad():
        together = model(both.ids, both.mask, both.types)[1]
        assert torch.allclose(together, model(alone.ids, alone.mask, alone.types)[0], atol=1e-6)


def test_a_causal_model_reads_the_last_token_before_the_padding(tmp_path: Path) -> None:
    config = classifier_config(read_config(causal_folder(tmp_path)), ("a", "b"), is_multi=False, dropout=0.0)
    model = fresh_classifier(config, seed=1).eval()
    ids = torch.tensor([[5, 6, 7, 0, 0]])
    with torch.no_grad():
        padded = model(ids, torch.tensor([[1, 1, 1, 0, 0]]))
        assert torch.allclose(padded, model(ids[:, :3]), atol=1e-6)
        assert not torch.allclose(padded, model(ids[:, :2]), atol=1e-3)


def test_classify_counts_the_texts_it_cuts(classifier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["classify", str(classifier), "gol maç", "oy " * 60, "yasa " * 60]) == 0
    told = capsys.readouterr()
    assert f"2 texts are longer than the context of {CONTEXT} tokens: the beginning is read." in told.err
    assert len(told.out.splitlines()) == 4
    assert cli.main(["fill", str(classifier), "[MASK]"]) == 2
    assert "is a classifier of texts, and fills no masks. Use `tezgah classify`." in capsys.readouterr().err


@pytest.mark.parametrize(("labels", "message"), [("xxx", "every row has the label 'x'"), ("xxy", "a single example")])
def test_labels_that_teach_nothing_are_one_line(
    labels: str, message: str, encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_rows(tmp_path / "data.jsonl", [{"text": f"metin {n}", "label": each} for n, each in enumerate(labels)])
    assert cli.main(["finetune", str(encoder), str(data), "-o", str(tmp_path / "made")]) == 2
    (told,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("tezgah: "))
    assert told.startswith(f"tezgah: {data}") and message in told
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--label", "labels"], "has no column 'labels'; it has: text, second, label. Did you mean label?"),
        ([], "needs -o DIR"),
        (["-o", "{data}"], "is a file. Give a folder to -o."),
        (["-o", "{here}"], "holds files, which would be replaced"),
        (["-o", "new", "--folds", "900"], "choose from 2 to 48"),
        (["-o", "new", "--valid", "{data}", "--folds", "2"], "give one of them"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], message: str, encoder: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word.format(data=data, here=data.parent) for word in words]
    if "--label" in words:
        words += ["-o", "new"]
    assert cli.main(["finetune", str(encoder), str(data), *words]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert message in said[-1]
    assert not Path("new").exists()


def test_models_without_a_head_or_a_tokenizer_are_told(encoder: Path, data: Path, tmp_path: Path) -> None:
    model, tokenizer = tezgah.load(encoder)
    assert tokenizer is not None
    with pytest.raises(InputError, match="this bert has no classification head"):
        tezgah.classify(model, tokenizer, ["a"])
    with pytest.raises(InputError, match=r"there is no setting epoch\. Did you mean epochs\?"):
        tezgah.finetune(encoder, data, tmp_path / "made", epoch=3)
    encoder_folder(tmp_path / "bare")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "bare" / name).unlink()
    with pytest.raises(InputError, match="bare"):
        tezgah.finetune(tmp_path / "bare", data, tmp_path / "made")
    assert not (tmp_path / "made").exists()
