"""The verbs that hand a folder to a hub and fetch one: `tezgah push` and `pull`."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from tezgah.answers import Answer, Plain, Verb, lines
from tezgah.errors import InputError
from tezgah.lock import locked

HUB = "REPO is NAME/REPO on the Hugging Face hub. A token is taken from HF_TOKEN in the environment alone."


class PushFlags(Plain, frozen=True):
    """Flags of `push`."""

    public: Annotated[bool, Meta(description="let everyone see a repository that is made now")] = False


class PullFlags(Plain, frozen=True):
    """Flags of `pull`."""

    o: Annotated[str, Meta(description="folder for the tokenizer")] = ""
    revision: Annotated[str, Meta(description="branch, tag or commit; default the main branch")] = ""


def push(operands: list[str], flags: PushFlags) -> Answer:
    """Upload a tokenizer's folder."""
    from tezgah.tokenizer import hub

    folder, repository = operands
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: no such folder. Give one that holds a tokenizer.")
    value = {"repository": repository, "commit": hub.push(Path(folder), repository, flags.public)}
    return Answer(lines(value), value)


def pull(operands: list[str], flags: PullFlags) -> Answer:
    """Download a tokenizer."""
    from tezgah.tokenizer import hub

    if not flags.o:
        raise InputError("`pull` needs -o DIR, the folder to write the tokenizer into.")
    with locked(Path(flags.o)):
        tokenizer = hub.pull(operands[0], Path(flags.o), flags.revision or None)
    value = {"tokenizer": flags.o, "vocab_size": tokenizer.vocab_size}
    return Answer(lines(value), value)


HUB_VERBS: dict[str, Verb] = {
    "push": Verb("Upload the tokenizer in FOLDER to a hub.", ("FOLDER", "REPO"), PushFlags, push, HUB),
    "pull": Verb("Download the tokenizer of a hub's repository.", ("REPO",), PullFlags, pull, HUB),
}
