"""`tezgah import`: the folder it writes, and what it says of files and folders that cannot be used."""

import io
import json
import os
import pickle
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from tests.models.hugging_face import relative_error
from tests.models.other_code import BookGPT, NanoGPT, Sizes, randomized
from tests.models.other_llamas import MetaLlama
from tests.models.test_importing import IDS, folder_like, logits
from tezgah import cli
from tezgah.models.checkpoint import load_model
from tezgah.tokenizer.tokenizer import Tokenizer

PEERS: dict[str, tuple[type[nn.Module], str, Sizes]] = {
    "nanoGPT": (NanoGPT, "gpt2", Sizes(bias=False)),
    "minGPT": (NanoGPT, "gpt2", Sizes(tied=False, exact=False, has_masks=True)),
    "the book": (BookGPT, "gpt2", Sizes(tied=False, exact=False)),
    "llama2.c": (MetaLlama, "llama", Sizes(kv_heads=2, mlp=48)),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with Llama's weights in a file and a folder to be like."""
    monkeypatch.chdir(tmp_path)
    torch.save(randomized(MetaLlama(Sizes())).state_dict(), "a.pth")
    folder_like("llama", Sizes(), tmp_path / "like")
    return tmp_path


def refused(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What is said, in one line, of a command that cannot be done."""
    assert cli.main(command.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    return err.strip().removeprefix("tezgah: ")


@pytest.mark.parametrize("name", PEERS)
def test_what_is_written_opens_here_and_in_transformers_with_their_logits(
    name: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    peer, family, sizes = PEERS[name]
    theirs = randomized(peer(sizes))
    torch.save(theirs.state_dict(), "weights.pth")
    folder_like(family, sizes, here / "like", bos_token_id=1, eos_token_id=[2, 3], pad_token_id=98)
    assert cli.main(["import", "weights.pth", "--like", "like", "-o", "made", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["family"], told["vocab_size"], told["context_length"]) == (family, 53, 16 if family == "gpt2" else 77)
    expected = logits(theirs)
    assert relative_error(logits(load_model(Path("made"))), expected) < 1e-5
    opened: Any = transformers.AutoModelForCausalLM.from_pretrained("made", output_loading_info=True)
    model, report = opened
    assert not report["missing_keys"] | report["unexpected_keys"] | report["mismatched_keys"]
    assert relative_error(model(IDS).logits.detach(), expected) < 1e-5
    ids = {"bos_token_id": 1, "eos_token_id": [2, 3]}  # no row of the vocabulary is a 98th
    assert json.loads(Path("made/generation_config.json").read_text()) == ids
    assert ids.items() <= json.loads(Path("made/config.json").read_text()).items()
    assert told["tokenizer"] == "none"


def test_the_tokenizer_comes_along(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = Tokenizer.train(["bir iki üç"] * 9, vocab_size=258)
    tokenizer.save(here / "like")
    assert cli.main(["import", "a.pth", "--like", "like", "-o", "deep/made"]) == 0
    assert "tokenizer.json" in capsys.readouterr().out
    assert Tokenizer.load("deep/made").hash == tokenizer.hash
    assert not list(here.rglob("*.part"))


class Harm:
    """Writes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, ("touch harm",)


def saved(thing: object, **settings: Any) -> bytes:
    file = io.BytesIO()
    torch.save(thing, file, **settings)
    return file.getvalue()


def zipped(**files: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


OLD = {"_use_new_zipfile_serialization": False}
FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "no file of `torch.save`"),
    "text": (lambda: b"once upon a time", "no file of `torch.save`"),
    "zip": (lambda: zipped(readme=b"hello"), "no file of `torch.save`"),
    "zip of a text": (lambda: zipped(**{"a/data.pkl": b"hello", "a/version": b"3"}), "no file of `torch.save`"),
    "half": (lambda: saved({"a": torch.ones(999)})[:2_000], "no file of `torch.save`"),
    "code": (lambda: saved({"model": Harm()}), "asks for program code (posix.system), which was not run"),
    "code, old format": (lambda: saved({"model": Harm()}, **OLD), "asks for program code (posix.system)"),
    "code, plain pickle": (lambda: pickle.dumps(Harm()), "nothing in it was run"),
    "module": (lambda: saved(nn.Linear(2, 2)), "a whole pickled module"),
    "module, old format": (lambda: saved(nn.Linear(2, 2), **OLD), "a whole pickled module"),
    "list": (lambda: saved([1, 2]), "holds a list, no state dict"),
    "tensor": (lambda: saved(torch.ones(2)), "holds a Tensor, no state dict"),
    "numbers": (lambda: saved({"epoch": 1, "loss": torch.tensor(2.0)}), "holds no state dict (epoch, loss)"),
    "nothing": (lambda: saved({}), "holds no state dict (nothing)"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_no_state_dict_is_said_and_never_run(
    case: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, message = FILES[case]
    (here / "bad.pth").write_bytes(content())
    said = refused("import bad.pth --like like -o made", capsys)
    assert said.startswith("bad.pth: ")
    assert message in said
    assert not Path("harm").exists()
    assert not Path("made").exists()


def test_bytes_changed_at_random_are_refused_or_read(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    choose = random.Random(7)
    for settings in ({}, OLD):
        torch.save(randomized(MetaLlama(Sizes(layers=1))).state_dict(), "whole.pth", **settings)
        whole = Path("whole.pth").read_bytes()
        for _ in range(30):
            damaged = bytearray(whole)
            for _ in range(choose.randint(1, 20)):
                damaged[choose.randrange(min(6_000, len(whole)))] = choose.randrange(256)
            Path("bad.pth").write_bytes(damaged)
            code = cli.main(["import", "bad.pth", "--like", "like", "-o", "made"])
            lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("tezgah: ")]
            assert (code, len(lines)) in ((0, 0), (2, 1)), lines
            shutil.rmtree("made", ignore_errors=True)


def test_places_that_cannot_be_used_are_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "`import` needs FILE" in refused("import", capsys)
    assert "`import` needs --like FOLDER" in refused("import a.pth -o made", capsys)
    assert "`import` needs -o DIR" in refused("import a.pth --like like", capsys)
    assert refused("import none.pth --like like -o made", capsys).startswith("none.pth: cannot be read (No such file")
    assert refused("import like --like like -o made", capsys).startswith("like: cannot be read (Is a directory")
    assert "none/config.json: cannot be read" in refused("import a.pth --like none -o made", capsys)
    assert "a.pth: is a file" in refused("import a.pth --like like -o a.pth", capsys)
    before = Path("like/config.json").read_bytes()
    assert refused("import a.pth --like like -o like", capsys).startswith("like: holds a model already")
    assert Path("like/config.json").read_bytes() == before
    Path("full").mkdir()
    Path("full/note.txt").write_text("mine")
    assert "full: holds other files (note.txt)" in refused("import a.pth --like like -o full", capsys)
    folder_like("gpt2", Sizes(), here / "like")
    assert "is a gpt2. Give --like a folder of llama" in refused("import a.pth --like like -o made", capsys)
    assert not Path("made").exists()
