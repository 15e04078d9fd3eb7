"""A tokenizer's folder to and from a Hugging Face hub: its own files, by name, and nothing else of the folder."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tezgah.errors import InputError
from tezgah.files import write_bytes
from tezgah.tokenizer.reading import VOCABULARY_AND_MERGES
from tezgah.tokenizer.tokenizer import Tokenizer

FILES = ["tokenizer.json", "tokenizer_config.json", *(name for pair in VOCABULARY_AND_MERGES for name in pair)]
TOKEN = "HF_TOKEN"  # the environment variable, and the only place a token is taken from


def push(folder: Path, repository: str, public: bool = False) -> str:
    """Upload the tokenizer in `folder` to `repository`, NAME/REPO, made if absent; the address of the commit.

    A repository that is there stays as public or private as it is. Raises InputError.
    """
    Tokenizer.load(folder)  # nothing is handed on that could not be used
    token = os.environ.get(TOKEN)
    if not token:
        raise InputError(f"{repository}: pushing needs a token that may write there. Set {TOKEN} in the environment.")
    hub = client(token)
    with hub_errors(repository):
        hub.create_repo(repository, private=not public, exist_ok=True)
        done = hub.upload_folder(
            repo_id=repository, folder_path=folder, allow_patterns=FILES, commit_message="Upload a tokenizer"
        )
    return str(done.commit_url)


def pull(repository: str, folder: Path, revision: str | None = None) -> Tokenizer:
    """Download the tokenizer of `repository` into `folder`, in place of one that is there, once it is found usable.

    `revision` is a branch, a tag or a commit. Raises InputError.
    """
    hub = client(os.environ.get(TOKEN) or False)
    with tempfile.TemporaryDirectory() as here:
        with hub_errors(repository):
            hub.snapshot_download(repository, revision=revision, local_dir=here, allow_patterns=FILES)
        try:
            tokenizer = Tokenizer.load(here)
        except InputError as error:
            raise InputError(str(error).replace(here, repository)) from None
        held = [name for name in FILES if (Path(here) / name).is_file()]
        for name in held:
            write_bytes(folder / name, (Path(here) / name).read_bytes())
        for name in set(FILES) - set(held):  # of another tokenizer, which would still be read first
            (folder / name).unlink(missing_ok=True)
    return tokenizer


def client(token: str | bool) -> Any:
    """A client of the hub; False reads without any token, also where one was left on this machine."""
    from huggingface_hub import HfApi

    return HfApi(token=token)


@contextmanager
def hub_errors(repository: str) -> Iterator[None]:
    """What the hub or the way to it refuses, as one line."""
    from huggingface_hub import errors

    try:
        yield
    except (errors.HFValidationError, errors.HTTPError, OSError) as error:  # type: ignore[attr-defined]
        reason = " ".join(str(error).split())
        raise InputError(
            f"{repository}: the hub says no ({reason}). Check the name, {TOKEN} and the network."
        ) from error
