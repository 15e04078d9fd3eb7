"""The command line answers at once, says what is wrong in one line, and keeps its exit codes."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tezgah import cli, verbs
from tezgah.errors import InputError
from tezgah.flags import help_text, read_arguments
from tezgah.recipe import recipe_fields

HEAVY = {"torch", "numpy", "numba", "pyarrow", "tokenizers", "matplotlib", "rich", "safetensors", "huggingface_hub"}


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a line of Python in a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [["--help"], *([verb, "--help"] for verb in verbs.VERBS)], ids=" ".join)
def test_help_answers_in_half_a_second(words: list[str]) -> None:
    seconds = []
    for _ in range(3):  # the machine may be busy
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "tezgah", *words], capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - started)
        assert done.stdout.startswith(("Usage: tezgah", "From a folder"))
        if min(seconds) < 0.5:
            return
    assert min(seconds) < 0.5


def test_help_and_importing_load_nothing_heavy() -> None:
    loaded = f"print(sorted(set(sys.modules) & {HEAVY!r}))"
    assert python(f"import sys, tezgah; {loaded}").stdout == "[]\n"
    for words in (["run", "--help"], ["tokenizer", "--help"], ["tokenizer", "train", "--help"]):
        done = python(f"import sys; from tezgah.cli import main; main({words!r}); {loaded}")
        assert done.stdout.endswith("[]\n")


def test_help_of_run_lists_every_field_with_its_description_and_default() -> None:
    text = " ".join(help_text(verbs.usage("run")).split())
    for field in recipe_fields().values():
        assert f"--{field.key} " in text
        assert field.description in text
    assert "batches of each split in a reading's losses [8]" in text
    assert text.index("[corpus]") < text.index("[tokenizer]") < text.index("[train]") < text.index("[evaluate]")


REFUSED = {
    "rnu": "no verb rnu. Did you mean run?",
    "tokenizer": "tokenizer what? The verbs are tokenizer train, tokenizer extend, ",
    "tokenizer trian": "no verb tokenizer trian. Did you mean tokenizer train? The verbs are tokenizer train, ",
    "tokenzier train": "no verb tokenzier. Did you mean tokenizer",
    "tokenizer train": "`tokenizer train` needs DATA.",
    "tokenizer train .": "`tokenizer train` needs -o DIR, the folder to write the tokenizer into.",
    "tokenizer train nowhere -o out": "corpus.source: 'nowhere' does not exist.",
    "tokenizer train . -o out --vocab-size 256": "tokenizer.vocab_size: 256 is too small",
    "tokenizer train . -o out --vocab-size 1k": "--vocab-size must be a whole number, 1 or more, not ",
    "tokenizer train . -o out --split gtp2": "--split must be gpt2, cl100k, ",
    "tokenizer train . -o out --vocab_sise 9": "`tokenizer train` has no flag --vocab_sise. Did you mean --vocab-size?",
    "tokenizer extend": "`tokenizer extend` needs BASE.",
    "tokenizer extend nowhere": "`tokenizer extend` needs DATA.",
    "tokenizer extend nowhere .": "`tokenizer extend` needs -o DIR",
    "tokenizer extend nowhere . -o out": "nowhere: cannot be read (No such file or directory).",
    "tokenizer explain nowhere a": "nowhere: cannot be read (No such file or directory).",
    "run": "`run` needs RECIPE. See `tezgah run --help`.",
    "run a b": "`run` takes RECIPE and no more: b is too many.",
    "run nowhere.toml": "nowhere.toml: no such recipe. `tezgah new DIR` writes one to start from.",
    "run a --train.stpes 4": "`run` has no flag --train.stpes. Did you mean --train.steps?",
    "run a --steps 4": "`run` has no flag --steps. Did you mean --train.steps?",
    "run a --train.steps": "--train.steps needs a value: a whole number, 1 or more.",
    "run a --train.steps --restart": "--train.steps needs a value: a whole number, 1 or more.",
    "run a --only trian": "--only must be corpus, tokenizer, tokens, train, evaluate or report",
    "generate": "`generate` needs MODEL.",
    "generate m": "`generate` needs PROMPT.",
    "generate m p -n 0": "-n must be a whole number, 1 or more, not 0.",
    "generate m p --temperature -1": "--temperature must be a number, 0 or more, not -1",
    "generate m p --top-p nan": "--top-p must be a number from 0 to 1, not nan.",
    "generate m p --max_new_tokns 3": "`generate` has no flag --max_new_tokns. Did you mean --max-new-tokens?",
    "generate m p": "m: no such folder. Give a run folder, a checkpoint, or a Hugging Face folder.",
    "evaluate .": ".: no model in it (no config.json).",
    "inspect": "`inspect` needs MODEL.",
    "report nowhere": "nowhere: holds neither recipe.toml nor metrics.jsonl. Give the folder of a run.",
    "curves nowhere": "nowhere: holds neither recipe.toml nor metrics.jsonl. Give the folder of a run.",
}


@pytest.mark.parametrize(("command", "message"), REFUSED.items(), ids=REFUSED)
def test_what_cannot_be_done_is_said_in_one_line(
    command: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(command.split()) == 2
    out, err = capsys.readouterr()
    assert err.startswith(f"tezgah: {message}")
    assert (err.count("\n"), out) == (1, "")
    assert list(tmp_path.iterdir()) == []


def test_help_of_a_family_of_verbs_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tokenizer", "--help"]) == 0
    out = capsys.readouterr().out
    assert "  tokenizer train    Train a tokenizer on files, a byte-level BPE unless told otherwise.\n" in out
    assert "  run " not in out


def test_flags_may_be_written_in_several_ways() -> None:
    usage = verbs.usage("generate")
    expected = (["m", "p"], {"max_new_tokens": "3", "json": "true", "n": "2"})
    for words in (
        "m p --max-new-tokens 3 --json -n 2",
        "--json --max_new_tokens=3 m -n=2 p",
        "m --n 2 --json p --max-new-tokens 3",
    ):
        assert read_arguments(usage, words.split()) == expected
    assert read_arguments(usage, ["m", "--", "-p", "--json"]) == (["m", "-p", "--json"], {})
    assert read_arguments(usage, ["m", "-"]) == (["m", "-"], {})
    with pytest.raises(InputError, match="no flag -seed"):
        read_arguments(usage, ["-seed", "3"])


def test_new_writes_a_starter_and_says_what_comes_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["new", str(tmp_path / "poems")]) == 0
    path = tmp_path / "poems" / "poems.toml"
    assert capsys.readouterr().out == f"{path}\nNext: tezgah run {path}\n"
    assert cli.main(["new", str(tmp_path / "poems")]) == 2


def test_a_stop_is_exit_code_130_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(verbs, "call", stop)
    assert cli.main(["run", "a"]) == 130
    assert capsys.readouterr().err == "tezgah: stopped. The same command goes on from here.\n"
    assert cli.main(["report", "a"]) == 130
    assert capsys.readouterr().err == "tezgah: stopped.\n"


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m tezgah run --help | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""


def test_the_version_is_the_packages() -> None:
    from importlib.metadata import version

    done = subprocess.run([sys.executable, "-m", "tezgah", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"tezgah {version('tezgah')}\n"
