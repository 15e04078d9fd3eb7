"""Models by their name on a hub, which here is a folder; the network is never asked."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import errors

import tezgah
from tests.models.hugging_face import saved
from tezgah import cli
from tezgah.models import hub


class Hub:
    """What of the client is used, with the signature it has."""

    def __init__(self, root: Path, cache: Path) -> None:
        self.root, self.cache, self.revision = root, cache, "unasked"

    def snapshot_download(self, repo_id: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        self.revision = str(revision)
        if not (self.root / repo_id).is_dir():
            raise errors.LocalEntryNotFoundError("no network,\nand not in the cache")
        self.cache.mkdir()
        for path in (self.root / repo_id).iterdir():
            if any(path.match(pattern) for pattern in allow_patterns):
                shutil.copy(path, self.cache / path.name)
        return str(self.cache)


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    found = Hub(tmp_path / "hub", tmp_path / "cache")
    monkeypatch.setattr(hub, "client", lambda token: found)
    return found


def test_a_model_is_opened_by_its_name_on_a_hub(remote: Hub, tmp_path: Path) -> None:
    theirs = saved("gpt2", remote.root / "someone" / "small")
    (remote.root / "someone" / "small" / "code.py").write_text("import os")
    model: Any
    model, tokenizer = tezgah.load("hub:someone/small@v1")
    assert tokenizer is None
    assert remote.revision == "v1"
    ids = torch.arange(9)[None]
    torch.testing.assert_close(model(ids), theirs(ids).logits)
    assert not (tmp_path / "cache" / "code.py").exists()


@pytest.mark.parametrize("name", ["hub:someone/nothing", "hub:"])
def test_what_a_hub_refuses_is_one_line(name: str, remote: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", name]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_path_that_is_not_there_asks_no_hub(remote: Hub) -> None:
    with pytest.raises(tezgah.InputError, match="no such folder"):
        tezgah.load("someone/small")
    assert remote.revision == "unasked"
