"""Push and pull with a hub that is a folder; the network is never asked."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import errors

from tezgah import cli
from tezgah.tokenizer import hub
from tezgah.tokenizer.tokenizer import Tokenizer


class Hub:
    """What of the client is used, with the signatures it has."""

    def __init__(self, root: Path) -> None:
        self.root, self.tokens, self.private = root, list[Any](), dict[str, bool]()
        self.error: Exception | None = None

    def __call__(self, token: str | bool) -> "Hub":
        self.tokens.append(token)
        return self

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> None:
        if self.error:
            raise self.error
        assert exist_ok
        self.private.setdefault(repo_id, private)

    def upload_folder(
        self, *, repo_id: str, folder_path: Path, allow_patterns: list[str], commit_message: str
    ) -> SimpleNamespace:
        (self.root / repo_id).mkdir(parents=True, exist_ok=True)
        for name in allow_patterns:
            if (folder_path / name).exists():
                shutil.copy(folder_path / name, self.root / repo_id / name)
        return SimpleNamespace(commit_url=f"https://hub/{repo_id}/commit/1")

    def snapshot_download(
        self, repo_id: str, *, revision: str | None, local_dir: str, allow_patterns: list[str]
    ) -> None:
        if not (self.root / repo_id).is_dir() or revision:
            raise FileNotFoundError(f"404\nno {repo_id}")
        shutil.copytree(self.root / repo_id, local_dir, dirs_exist_ok=True)


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub, and beside it a folder with a tokenizer and a file that is nobody's business."""
    found = Hub(tmp_path / "hub")
    monkeypatch.setattr(hub, "client", found)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.chdir(tmp_path)
    Tokenizer.train(["su su"], vocab_size=258).save(tmp_path / "mine")
    (tmp_path / "mine" / ".env").write_text("hf_secret")
    return found


def refused(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What is said, in one line, of a command that cannot be done."""
    assert cli.main(command.split()) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "hf_secret" not in err
    return err.removeprefix("tezgah: ")


def test_what_was_pushed_is_pulled_and_nothing_else(remote: Hub, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["push", "mine", "me/tok"]) == 0
    assert "https://hub/me/tok/commit/1" in capsys.readouterr().out
    assert sorted(path.name for path in (remote.root / "me" / "tok").iterdir()) == [
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert remote.private == {"me/tok": True}
    assert cli.main(["push", "mine", "me/open", "--public"]) == 0
    assert remote.private["me/open"] is False
    assert cli.main(["pull", "me/tok", "-o", "theirs"]) == 0
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert Path("theirs", name).read_bytes() == Path("mine", name).read_bytes()
    assert remote.tokens == ["hf_secret"] * 3


def test_a_token_comes_from_the_environment_alone(
    remote: Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    assert cli.main(["push", "mine", "me/tok"]) == 0
    capsys.readouterr()
    monkeypatch.delenv("HF_TOKEN")
    assert refused("push mine me/tok", capsys).startswith("me/tok: pushing needs a token that may write there.")
    assert cli.main(["pull", "me/tok", "-o", "theirs"]) == 0
    assert remote.tokens[-1] is False  # reading needs none


def test_what_the_hub_refuses_is_one_line_and_what_was_there_stays(remote: Hub, capsys: pytest.CaptureFixture[str]):
    before = Path("mine/tokenizer.json").read_bytes()
    assert refused("pull me/absent -o mine", capsys).startswith("me/absent: the hub says no (404 no me/absent).")
    assert refused("pull me/absent -o mine --revision v1", capsys).startswith("me/absent: the hub says no")
    (remote.root / "me" / "bad").mkdir(parents=True)
    (remote.root / "me" / "bad" / "tokenizer.json").write_text("[]")
    assert refused("pull me/bad -o mine", capsys).startswith("me/bad/tokenizer.json: not a tokenizer.json")
    assert Path("mine/tokenizer.json").read_bytes() == before
    for kind in ("HTTPError", "HFValidationError"):
        remote.error = getattr(errors, kind)("no route")
        assert "the hub says no (no route)" in refused("push mine me/tok", capsys)


def test_what_is_no_tokenizer_is_not_pushed(remote: Hub, capsys: pytest.CaptureFixture[str]):
    Path("empty").mkdir()
    assert refused("push empty me/tok", capsys).startswith("empty: holds no tokenizer.")
    assert refused("push nowhere me/tok", capsys).startswith("nowhere: no such folder.")
    assert refused("pull me/tok", capsys).startswith("`pull` needs -o DIR")
    assert remote.tokens == []


def test_the_client_is_the_librarys(monkeypatch: pytest.MonkeyPatch):
    assert hub.client("hf_x").token == "hf_x"
    assert hub.client(False).token is False


def test_a_tokenizer_that_is_pulled_takes_the_place_of_the_one_before(remote: Hub, tmp_path: Path):
    there = remote.root / "me" / "old-style"
    there.mkdir(parents=True)
    vocab = {chr(0x100 + byte): byte for byte in range(256)} | {"<|endoftext|>": 256}
    (there / "vocab.json").write_text(json.dumps(vocab))
    (there / "merges.txt").write_text("#version: 0.2\n")
    assert cli.main(["pull", "me/old-style", "-o", "mine"]) == 0
    assert not (tmp_path / "mine" / "tokenizer.json").exists()
    assert Tokenizer.load("mine").vocab_size == 257
