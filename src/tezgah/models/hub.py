"""A model on a Hugging Face hub: fetched by name, and only where a name asks for it."""

import os
from pathlib import Path

from tezgah.errors import InputError
from tezgah.tokenizer.hub import FILES, TOKEN, client, hub_errors

PREFIX = "hub:"  # before NAME/REPO, so that a slip in a path never asks the network
MODEL_FILES = ["config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json", *FILES]


def fetched(name: str) -> Path:
    """The folder, in the hub's cache on this machine, of `hub:NAME/REPO` or `hub:NAME/REPO@REVISION`.

    Only a configuration, safetensors and tokenizer files are fetched, no code and no pickles. What is in the cache
    is not fetched again. Raises InputError where the hub says no, or there is no network.
    """
    repository, _, revision = name.removeprefix(PREFIX).partition("@")
    if not repository:
        raise InputError(f"{name}: names no repository. Write {PREFIX}NAME/REPO.")
    hub = client(os.environ.get(TOKEN) or False)
    with hub_errors(repository):
        return Path(hub.snapshot_download(repository, revision=revision or None, allow_patterns=MODEL_FILES))
