"""The verb that brings a state dict of other code in: `tezgah import`."""

import shutil
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from tezgah.answers import Answer, Plain, Verb, lines
from tezgah.errors import InputError
from tezgah.files import atomic_folder, read_json, write_json

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "encoder.json",
    "vocab.bpe",
    "chat_template.jinja",
)
TOKEN_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")
GENERATION = "generation_config.json"


class ImportFlags(Plain, frozen=True):
    """Flags of `import`."""

    like: Annotated[
        str, Meta(description="folder whose config.json states the architecture; its tokenizer comes along")
    ] = ""
    o: Annotated[str, Meta(description="folder for the model")] = ""


def import_file(operands: list[str], flags: ImportFlags) -> Answer:
    """Write the weights in a file as a Hugging Face folder."""
    folder, like = _places(flags)
    from tezgah.models.checkpoint import save_model
    from tezgah.models.importing import import_model

    model, origin = import_model(Path(operands[0]), like)
    with atomic_folder(folder.resolve()) as made:
        save_model(model, made)
        _carry_ids(like, made, model.config.vocab_size)
        around = like.resolve().parent.parent  # a hub's cache links to files there; a link elsewhere is not followed
        held = [name for name in TOKENIZER_FILES if (like / name).is_file()]
        carried = [name for name in held if (like / name).resolve().is_relative_to(around)]
        for name in carried:
            shutil.copyfile(like / name, made / name)
    value = {
        "model": str(folder),
        "family": model.config.family,
        "names_of": origin.told,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "vocab_size": model.config.vocab_size,
        "context_length": model.config.context_length,
        "tokenizer": ", ".join(carried) or "none",
    }
    return Answer(lines(value), value)


def _places(flags: ImportFlags) -> tuple[Path, Path]:
    """Where to write, and the folder to be like. Raises InputError where one is missing or holds something already."""
    if not flags.like:
        raise InputError("`import` needs --like FOLDER, a folder whose config.json states the architecture.")
    if not flags.o:
        raise InputError("`import` needs -o DIR, the folder to write the model into.")
    folder = Path(flags.o)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file. Give a folder to -o.")
    held = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if held:
        what = "a model already" if "config.json" in held else f"other files ({', '.join(held[:3])})"
        raise InputError(f"{folder}: holds {what}, which would be replaced. Give -o a folder of its own.")
    return folder, Path(flags.like)


def _carry_ids(like: Path, made: Path, vocab_size: int) -> None:
    """Let the new folder name the special ids that the old one names, of those that the vocabulary has."""
    stated = read_json(like / "config.json")
    told = {name: stated[name] for name in TOKEN_IDS if _is_in(stated.get(name), vocab_size)}
    config = made / "config.json"
    write_json(config, read_json(config) | told)
    generation = read_json(like / GENERATION) if (like / GENERATION).is_file() else {}
    kept = {name: value for name, value in generation.items() if name not in TOKEN_IDS or _is_in(value, vocab_size)}
    write_json(made / GENERATION, told | kept)


def _is_in(ids: object, vocab_size: int) -> bool:
    """Whether an id, or each of a list, is one of the vocabulary."""
    listed = ids if isinstance(ids, list) else [ids]
    return all(type(each) is int and 0 <= each < vocab_size for each in listed) and bool(listed)


IMPORT_VERBS: dict[str, Verb] = {
    "import": Verb(
        "Write the weights in FILE, a state dict of other code, as a folder that everything here opens.",
        ("FILE",),
        ImportFlags,
        import_file,
        "FILE is what torch.save wrote: of Hugging Face's models, nanoGPT, minGPT, Build a Large Language Model (From "
        "Scratch), Meta's Llama or llama2.c. No code in it is run. The numbers of heads and what else weights do not "
        "show are --like's.",
    ),
}
