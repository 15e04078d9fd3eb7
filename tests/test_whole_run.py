"""One small run through every room, and what the command line does with it afterwards."""

import gzip
import json
import lzma
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import tezgah
from tezgah import cli
from tezgah.stages import STAGES

SMALL = """
[tokenizer]
vocab_size = 300
[model]
n_layers = 2
width = 32
context_length = 32
[train]
steps = 6
batch_size = 4
compile = false
threads = 1
validation_batches = 1
validation_steps = 3
sample_tokens = 4
sample_prompts = ["def "]
checkpoint_steps = 2
"""


# The matrix rate takes seconds, and is not what is tested here.
MAIN = """
import sys
import tezgah.training.loop
from tezgah.cli import main
tezgah.training.loop.matrix_rate = lambda place: 1e12
sys.exit(main())
"""


@pytest.fixture(scope="module", autouse=True)
def _known_matrix_rate() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tezgah.training.loop.matrix_rate", lambda place: 1e12)
        yield


def words(seed: int) -> str:
    """Some kilobytes of text that is not all the same."""
    return "".join(f"def area_{(seed * 31 + i * i) % 97}(a, b):\n    return a * {i % 13}\n\n" for i in range(60))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, its texts, and the finished run."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "texts").mkdir()
    for number in range(60):
        (folder / "texts" / f"{number}.txt").write_text(words(number))
    (folder / "small.toml").write_text(f"[corpus]\nsource = {json.dumps(str(folder / 'texts'))}\n{SMALL}")
    assert cli.main(["run", str(folder / "small.toml"), "--run", str(folder / "run")]) == 0
    return folder


def test_a_run_leaves_everything_that_was_promised(home: Path) -> None:
    expected = [
        *("recipe.toml", "versions.json", "corpus/train.parquet", "corpus/validation.parquet", "corpus/card.md"),
        *("tokenizer/tokenizer.json", "tokenizer/measures.json", "tokens/index.json", "tokens/train-00000.npy"),
        *("tokens/train-offsets.npy", "model/config.json", "model/model.safetensors", "model/tokenizer.json"),
        *("model/generation_config.json", "checkpoints/step-000006/training_state", "metrics.jsonl", "log.jsonl"),
        *("evaluation.json", "report.html", "curves.png"),
    ]
    assert [name for name in expected if not (home / "run" / name).exists()] == []
    rows = [json.loads(line) for line in (home / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 1, 2, 3, 4, 5, 6]
    assert [row["step"] for row in rows if "bits_per_byte" in row] == [0, 3, 6]
    assert rows[3]["samples"][0]["text"].startswith("def ")
    evaluation = json.loads((home / "run" / "evaluation.json").read_text())
    assert set(evaluation["baselines"]) == {"gzip", "xz", "xz_primed"}
    assert evaluation["bits_per_byte"] == pytest.approx(rows[-1]["bits_per_byte"], rel=1e-6)  # a reading reads it all


def test_the_compressors_read_the_held_out_text_document_after_document(home: Path) -> None:
    evaluation = json.loads((home / "run" / "evaluation.json").read_text())
    texts = pq.read_table(home / "run" / "corpus" / "validation.parquet")["text"].to_pylist()
    held_out = "".join(texts).encode()
    sizes = {
        "gzip": len(gzip.compress(held_out, 9, mtime=0)),
        "xz": len(lzma.compress(held_out, preset=9 | lzma.PRESET_EXTREME)),
    }
    marks = {name: 8 * size / len(held_out) for name, size in sizes.items()}
    assert marks == {name: evaluation["baselines"][name] for name in marks}
    assert marks == evaluation["reading_baselines"]  # a reading reads it all


def test_the_second_run_does_nothing_quickly_and_without_torch(home: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (home / "run").rglob("*") if path.name != ".lock"}
    code = (
        "import sys; from tezgah.cli import main; code = main(sys.argv[1:]); print('torch' in sys.modules); exit(code)"
    )
    started = time.perf_counter()
    command = [sys.executable, "-c", code, "run", str(home / "small.toml"), "--run", str(home / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert time.perf_counter() - started < 3
    assert done.stdout.endswith("False\n")
    assert before == {path: path.stat().st_mtime_ns for path in (home / "run").rglob("*") if path.name != ".lock"}


def test_transformers_opens_the_model_and_its_tokenizer(home: Path) -> None:
    transformers = pytest.importorskip("transformers")
    import torch

    theirs = transformers.AutoModelForCausalLM.from_pretrained(home / "run" / "model").eval()
    their_tokenizer = transformers.AutoTokenizer.from_pretrained(home / "run" / "model")
    model, tokenizer = tezgah.load(home / "run")
    assert tokenizer is not None
    ids = their_tokenizer(words(3)[:40])["input_ids"]
    assert ids == tokenizer.encode(words(3)[:40]).tolist()
    with torch.no_grad():
        ours, expected = model(torch.tensor([ids])), theirs(torch.tensor([ids])).logits
    assert (ours - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_generate_prints_candidates_between_lines_of_80(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["-n", "2", "--temperature", "0.8", "--top-p", "0.9", "--seed", "3", "--max-new-tokens", "6"]
    command = ["generate", str(home / "run"), "def area(", "class Queue", *flags]
    assert cli.main(command) == 0
    candidates = capsys.readouterr().out.removesuffix("\n").split("\n" + "=" * 80 + "\n")
    assert [text[:4] for text in candidates] == ["def ", "def ", "clas", "clas"]
    assert cli.main([*command, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [candidate["text"] for candidate in answer["candidates"]] == candidates
    assert cli.main(["generate", str(home / "run" / "checkpoints" / "step-000006"), "def ", "--max-length", "1"]) == 2
    assert "max_length is 1" in capsys.readouterr().err


def test_evaluate_measures_the_held_out_text_of_the_run(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = json.loads((home / "run" / "evaluation.json").read_text())
    for model in (home / "run", home / "run" / "model", home / "run" / "checkpoints" / "step-000006"):
        assert cli.main(["evaluate", str(model), "--json"]) == 0
        measured = json.loads(capsys.readouterr().out)
        assert measured["bits_per_byte"] == written["bits_per_byte"]


def test_evaluate_measures_files(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(home / "texts" / f"{number}.txt") for number in (1, 2)]
    assert cli.main(["evaluate", str(home / "run"), *paths, "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured["documents"] == 2
    assert measured["bytes"] == sum(Path(path).stat().st_size for path in paths)
    model, tokenizer = tezgah.load(home / "run")
    assert tokenizer is not None
    ours = tezgah.evaluate(model, tokenizer, [Path(path).read_text() for path in paths])
    assert ours.bits_per_byte == pytest.approx(measured["bits_per_byte"], rel=1e-3)  # in float32


def test_a_model_is_used_where_the_device_that_trained_it_is_absent(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    run = tmp_path / "run"
    shutil.copytree(home / "run", run)
    recipe = (run / "recipe.toml").read_text()
    (run / "recipe.toml").write_text(recipe.replace('device = "auto"', 'device = "cuda"'))
    assert cli.main(["generate", str(run), "def ", "--max-new-tokens", "2"]) == 0
    assert cli.main(["evaluate", str(run)]) == 0
    capsys.readouterr()
    assert cli.main(["run", str(run / "recipe.toml"), "--run", str(tmp_path / "another")]) == 2  # training refuses it
    assert 'device = "cuda": there is none here' in capsys.readouterr().err


def test_report_and_curves_are_drawn_again(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "run" / "report.html").unlink()
    assert cli.main(["report", str(home / "run")]) == 0
    assert (home / "run" / "report.html").is_file()
    picture = home / "both.svg"
    assert cli.main(["curves", str(home / "run"), "-o", str(picture)]) == 0
    assert capsys.readouterr().out.endswith(f"picture  {picture}\n")
    assert picture.read_text().lstrip().startswith("<?xml")


def test_the_report_of_a_training_that_went_on_leaves_the_earlier_evaluation_out(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(home / "run", run)
    command = ["run", str(home / "small.toml"), "--run", str(run), "--train.steps", "8", "--only"]
    assert cli.main([*command, "train"]) == 0
    assert "bits per byte" not in capsys.readouterr().out
    outdated = "evaluation.json is of an earlier model. The figures are those of the last reading."
    for drawing in ([*command, "report"], ["report", str(run)]):
        (run / "report.html").unlink()
        assert cli.main(drawing) == 0
        assert outdated in (run / "report.html").read_text()
        assert "held-out text, whole" not in (run / "report.html").read_text()
    assert cli.main([*command, "evaluate"]) == 0
    assert "held-out bits per byte" in capsys.readouterr().out
    assert cli.main(["report", str(run)]) == 0
    assert outdated not in (run / "report.html").read_text()


def test_sigterm_stops_with_130_and_the_same_command_goes_on(home: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAIN, "run", str(home / "small.toml"), "--run", str(tmp_path / "run")]
    command += ["--train.steps", "5000", "--train.checkpoint_steps", "100000"]
    metrics = tmp_path / "run" / "metrics.jsonl"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (metrics.exists() and metrics.read_text().count("\n") > 5):
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.stderr
        assert process.stderr.read().endswith("tezgah: stopped. The same command goes on from here.\n")
        assert process.wait() == 130
    stopped = int(next((tmp_path / "run" / "checkpoints").glob("step-*")).name[5:])
    assert stopped >= 5
    changed = subprocess.run([*command, "--train.seed", "2"], capture_output=True, text=True, check=False)
    assert changed.returncode == 2
    assert "[train] seed 1 → 2" in changed.stderr
    command[command.index("5000")] = "5001"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and f'"step": {stopped + 3}' not in metrics.read_text():
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines()]
    assert steps == list(range(len(steps)))


def test_torchrun_trains_with_two_processes_and_one_speaks(home: Path, tmp_path: Path) -> None:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launch, "-m", "--", "tezgah", "run", str(home / "small.toml"), "--run", str(tmp_path / "run"), "--json"]
    for made in (list(STAGES), []):  # the second time there is nothing to do, in either process
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        (line,) = done.stdout.splitlines()
        assert json.loads(line)["made"] == made
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    alone = [json.loads(line) for line in (home / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [row["step"] for row in alone]
    assert [row.get("loss", 0) for row in rows] == pytest.approx([row.get("loss", 0) for row in alone], rel=1e-3)


def bad_inputs(folder: Path) -> dict[str, tuple[list[str], str]]:
    """Flags that make a run impossible, and what is then said."""
    (folder / "empty").mkdir()
    (folder / "binary").mkdir()
    (folder / "binary" / "a.bin").write_bytes(bytes(range(256)) * 20)
    (folder / "torn.jsonl.gz").write_bytes(gzip.compress(b'{"text": "x"}\n' * 9999)[:-20])
    (folder / "rows.jsonl").write_text('{"text": "good"}\n{"text": \n')
    (folder / "one.txt").write_text("Yalnızca birkaç sözcük.")
    return {
        "missing path": (["--corpus.source", str(folder / "nowhere")], "does not exist"),
        "empty folder": (["--corpus.source", str(folder / "empty")], "holds no files"),
        "only binaries": (["--corpus.source", str(folder / "binary")], "no text in it"),
        "torn gzip": (["--corpus.source", str(folder / "torn.jsonl.gz")], "torn.jsonl.gz"),
        "bad row": (["--corpus.source", str(folder / "rows.jsonl")], "2"),
        "vocabulary": (["--corpus.source", str(folder / "one.txt"), "--tokenizer.vocab_size", "50000"], "reached"),
        "too few tokens": (["--model.context_length", "100000"], "make no sequence of context_length 100,000"),
        "odd heads": (["--model.head_dim", "7"], "head_dim 7 is odd"),
        "no such size": (["--model.size", "huge"], "huge"),
    }


def test_bad_input_is_one_line_and_exit_code_2(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, (flags, said) in bad_inputs(tmp_path).items():
        code = cli.main(["run", str(home / "small.toml"), "--run", str(tmp_path / "run"), *flags])
        err = capsys.readouterr().err
        lines = [line for line in err.splitlines() if line.startswith("tezgah: ")]
        assert (code, len(lines)) == (2, 1), name
        assert said in lines[0], name
        assert "Traceback" not in err


def test_a_full_disk_is_one_line_and_what_was_there_stays(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import errno

    command = ["run", str(home / "small.toml"), "--run", str(tmp_path / "run"), "--only", "corpus"]
    assert cli.main(command) == 0
    before = (tmp_path / "run" / "corpus" / "index.json").read_bytes()

    def full(descriptor: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert cli.main([*command, "--restart"]) == 2
    assert "the disk is full" in capsys.readouterr().err
    monkeypatch.undo()
    assert (tmp_path / "run" / "corpus" / "index.json").read_bytes() == before


def test_a_damaged_model_is_one_line(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(home / "run" / "model", tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert cli.main(["generate", str(tmp_path / "model"), "def "]) == 2
    assert "model.safetensors: damaged" in capsys.readouterr().err
