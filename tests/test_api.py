"""The Python door does what the command line does, and the examples go through it."""

import hashlib
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tezgah

EXAMPLES = Path(__file__).parents[1] / "examples"
QUICK: dict[str, Any] = {"batch_size": 4, "compile": False, "threads": 1, "validation_batches": 1, "sample_tokens": 0}


@pytest.fixture(autouse=True)
def _known_matrix_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tezgah.training.loop.matrix_rate", lambda place: 1e12)  # it takes seconds


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """A few documents, each different."""
    return [
        f"Bir gün {n} kedi {n * n} fareyle karşılaştı. Fareler {n % 7} kez güldü, kediler sustu.\n" * 3
        for n in range(80)
    ]


@pytest.fixture(scope="module")
def tokenizer(texts: list[str]) -> tezgah.Tokenizer:
    """A tokenizer of these documents."""
    return tezgah.Tokenizer.train(texts, vocab_size=300)


def test_the_doors_names_are_all_there() -> None:
    assert sorted(tezgah.__all__) == tezgah.__all__
    for name in tezgah.__all__:
        assert callable(getattr(tezgah, name)), name
    assert set(tezgah.__all__) <= set(dir(tezgah))
    with pytest.raises(AttributeError, match="no attribute 'lead'"):
        tezgah.lead


def test_a_model_made_and_trained_here_is_kept_and_loads_back(
    texts: list[str], tokenizer: tezgah.Tokenizer, tmp_path: Path
) -> None:
    import torch

    model = tezgah.new_model(tokenizer.vocab_size, n_layers=1, width=32, context_length=32)
    before = tezgah.evaluate(model, tokenizer, texts[:5])
    result = tezgah.train(model, tokenizer, texts, tmp_path / "run", steps=12, **QUICK)
    after = tezgah.evaluate(model, tokenizer, texts[:5])
    assert result.steps == 12
    assert after.bits_per_byte < before.bits_per_byte
    again, its_tokenizer = tezgah.load(tmp_path / "run")
    assert its_tokenizer is not None and its_tokenizer.hash == tokenizer.hash
    ids = torch.from_numpy(tokenizer.encode("Bir kedi")).long()[None]
    with torch.no_grad():
        assert torch.equal(again(ids), model.eval()(ids))
    (text,) = tezgah.generate(again, tokenizer, "Bir ", max_new_tokens=3)
    assert text.startswith("Bir ")


def test_the_same_call_goes_on_from_the_newest_checkpoint(
    texts: list[str], tokenizer: tezgah.Tokenizer, tmp_path: Path
) -> None:
    def fresh() -> Any:
        return tezgah.new_model(tokenizer.vocab_size, n_layers=1, width=32, context_length=32)

    tezgah.train(fresh(), tokenizer, texts, tmp_path / "run", steps=4, **QUICK)
    tezgah.train(fresh(), tokenizer, texts, tmp_path / "run", steps=6, **QUICK)
    steps = [line.split(",")[0] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert steps == [f'{{"step": {step}' for step in range(7)]
    before = contents(tmp_path / "run")
    told: list[tuple[list[str], dict[str, Any]]] = [(texts, {"seed": 2}), (texts[1:], {})]
    for other, settings in told:
        with pytest.raises(tezgah.InputError, match="belong to another .* or name another folder"):
            tezgah.train(fresh(), tokenizer, other, tmp_path / "run", steps=6, **settings, **QUICK)
    assert contents(tmp_path / "run") == before


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder but its lock."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("corpus/stage.json", "holds a run of `tezgah run`"),
        ("model/config.json", "holds a model, but no whole checkpoint"),
        ("checkpoints/step-000002/training_state/state.json", "holds a model, but no whole checkpoint"),
        ("corpus/mine.txt", "not of tezgah's making"),
    ],
)
def test_a_folder_with_other_work_in_it_is_left_as_it_is(
    texts: list[str], tokenizer: tezgah.Tokenizer, tmp_path: Path, name: str, said: str
) -> None:
    for each in (name, "corpus/train.parquet"):
        (tmp_path / each).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / each).write_text("{}")
    if said != "not of tezgah's making":
        (tmp_path / "corpus" / "index.json").write_text("{}")
    before = contents(tmp_path)
    model = tezgah.new_model(tokenizer.vocab_size, n_layers=1, width=32, context_length=32)
    with pytest.raises(tezgah.InputError, match=said):
        tezgah.train(model, tokenizer, texts, tmp_path, steps=2, **QUICK)
    assert contents(tmp_path) == before


def test_a_model_that_fills_masks_is_trained_with_masking_of_its_own(texts: list[str], tmp_path: Path) -> None:
    tokenizer = tezgah.Tokenizer.train(texts, vocab_size=300, mask=True)
    model = tezgah.new_model(
        tokenizer.vocab_size, objective="mlm", shape="bert", n_layers=1, width=32, context_length=32
    )
    asked: dict[str, Any] = {"masking": {"rate": 0.3, "mask_share": 1.0, "random_share": 0.0}}
    before = tezgah.evaluate(model, tokenizer, texts[:20])
    tezgah.train(model, tokenizer, texts, tmp_path / "run", steps=60, learning_rate=0.02, **asked, **QUICK)
    after = tezgah.evaluate(model, tokenizer, texts[:20])
    assert after.loss < before.loss - 2
    with pytest.raises(tezgah.InputError, match="belong to another model, tokenizer, texts or"):
        tezgah.train(model, tokenizer, texts, tmp_path / "run", steps=60, learning_rate=0.02, **QUICK)


def test_masking_and_masks_belong_to_models_that_fill_them(texts: list[str], tokenizer: tezgah.Tokenizer) -> None:
    shape: dict[str, Any] = {"n_layers": 1, "width": 32, "context_length": 32}
    model = tezgah.new_model(tokenizer.vocab_size, **shape)
    with pytest.raises(tezgah.InputError, match=r"^tezgah.train: a qwen3 fills no masks. Leave masking away.$"):
        tezgah.train(model, tokenizer, texts, masking={"rate": 0.3}, steps=1)
    model = tezgah.new_model(tokenizer.vocab_size, objective="mlm", **shape)
    with pytest.raises(tezgah.InputError, match=r"^tezgah.train: .*\[MASK\]"):
        tezgah.train(model, tokenizer, texts, steps=1)


def test_one_text_is_not_taken_for_many(tokenizer: tezgah.Tokenizer, tmp_path: Path) -> None:
    model = tezgah.new_model(tokenizer.vocab_size, n_layers=1, width=32, context_length=32)
    with pytest.raises(tezgah.InputError, match="one string where many are expected"):
        tezgah.evaluate(model, tokenizer, "Bir kedi")
    with pytest.raises(tezgah.InputError, match="one string where many are expected"):
        tezgah.train(model, tokenizer, "Bir kedi", tmp_path / "run", steps=2, **QUICK)
    assert not (tmp_path / "run").exists()


def test_settings_are_checked_as_a_recipes_are(texts: list[str], tokenizer: tezgah.Tokenizer) -> None:
    with pytest.raises(tezgah.InputError, match=r"tezgah.new_model: \[model\] has no field n_layer. Did you mean n_l"):
        tezgah.new_model(300, n_layer=3)
    model = tezgah.new_model(tokenizer.vocab_size, n_layers=1, width=32, context_length=32)
    with pytest.raises(tezgah.InputError, match=r"tezgah.train: \[train\] has no field stpes. Did you mean steps"):
        tezgah.train(model, tokenizer, texts, stpes=3)
    with pytest.raises(tezgah.InputError, match=r"\[train\] has no budget"):
        tezgah.train(model, tokenizer, texts)
    with pytest.raises(tezgah.InputError, match="no such folder"):
        tezgah.load("nowhere")


def test_a_folder_without_a_tokenizer_has_none(tmp_path: Path) -> None:
    from tezgah.models.checkpoint import save_model

    save_model(tezgah.new_model(300, n_layers=1, width=32, context_length=8), tmp_path / "bare", 0)
    assert tezgah.load(tmp_path / "bare")[1] is None


def test_the_example_from_scratch_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tezgah.training.place._compiles", lambda kind: False)  # a compiler takes a minute
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)  # one thread: they are small
    path = EXAMPLES / "from_scratch.py"
    assert len(path.read_text().splitlines()) <= 60
    for number in range(60):
        source = f"def area_{number}(width, height):\n    return width * height + {number}\n\n"
        words = " ".join(hashlib.sha256(f"{number} {each}".encode()).hexdigest()[:9] for each in range(99))
        (tmp_path / f"{number}.py").write_text(f'{source}"""{words}"""\n')
    runpy.run_path(str(path))["main"](tmp_path, 3, tmp_path / "run")
    assert "held-out bits per byte" in capsys.readouterr().out
    assert (tmp_path / "run" / "model" / "config.json").is_file()


def test_the_example_with_accelerate_runs(texts: list[str], tokenizer: tezgah.Tokenizer, tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    model = tezgah.new_model(tokenizer.vocab_size, n_layers=1, width=32, context_length=32)
    tezgah.train(model, tokenizer, texts, tmp_path / "run", steps=2, **QUICK)
    command = [sys.executable, str(EXAMPLES / "accelerate_loop.py"), str(tmp_path / "run"), "4"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    losses = [float(line.split()[-1]) for line in done.stdout.splitlines()]
    assert len(losses) == 4
    trained, _ = tezgah.load(tmp_path / "run" / "accelerated")
    assert trained.config == model.config
