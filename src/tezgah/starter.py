"""The starter recipe of `tezgah new`: written from the fields themselves, so it cannot drift."""

from pathlib import Path

from tezgah.errors import InputError
from tezgah.fields import Field, shown
from tezgah.files import write_text
from tezgah.recipe import recipe_fields

# What the starter sets; every other field stands in it as a comment with its default.
CHOSEN = {
    "corpus.source": "stdlib",
    "tokenizer.vocab_size": 4_096,
    "model.size": "auto",
    "model.context_length": 256,
    "train.minutes": 5.0,
}


def write_starter(folder: Path) -> Path:
    """Write `folder/<its name>.toml`, which must not exist yet; returns its path."""
    path = folder / f"{folder.resolve().name or 'recipe'}.toml"
    if path.exists():
        raise InputError(f"{path}: already there, and it stays as it is. Name another folder, or remove the file.")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: a file, not a folder. Name another folder.")
    write_text(path, starter(path))
    return path


def starter(path: Path) -> str:
    """The text of a starter recipe that will stand at `path`."""
    lines = [
        "# A recipe: what a run does, stage by stage. Start it, and go on with it after a stop, with",
        f"#     tezgah run {path}",
        "# Paths start from the folder where that command is given. A line `#name = value` shows a default;",
        "# remove its `#` to change it. The budget is exactly one of steps, tokens, epochs, minutes, flops. Of",
        '# minutes, tokens or flops, size = "auto" makes the model. A field without a value follows a rule.',
    ]
    table = ""
    for key, field in recipe_fields().items():
        if field.table != table:
            table = field.table
            lines += ["", f"[{table}]"]
        lines += [f"# {field.description}{_limits(field)}", _line(key, field)]
    return "\n".join(lines) + "\n"


def _limits(field: Field) -> str:
    """What a field takes, where that is more than its kind."""
    if all(kind.plain in (bool, str, tuple) and not kind.choices for kind in field.kinds):
        return ""
    return f" ({field.words})"


def _line(key: str, field: Field) -> str:
    if key in CHOSEN:
        return f"{field.name} = {shown(CHOSEN[key])}"
    return f"#{field.name} =" + ("" if field.default is None else f" {shown(field.default)}")
