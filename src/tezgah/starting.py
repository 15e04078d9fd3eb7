"""Where a training starts from: the folder that `[model] from` names, found and looked at without torch."""

from pathlib import Path
from typing import Any

from tezgah.errors import InputError
from tezgah.files import fingerprint, hash_file


def find_model(path: Path) -> Path:
    """The Hugging Face folder that a MODEL names: itself, a run's `model/`, or a run's newest checkpoint.

    `hub:NAME/REPO` names one on a hub, which is fetched.
    """
    if str(path).startswith("hub:"):
        from tezgah.models.hub import fetched

        return fetched(str(path))
    for folder in (path, path / "model", *reversed(checkpoints(path))):
        if (folder / "config.json").is_file():
            return folder
    if not path.exists():
        raise InputError(f"{path}: no such folder. Give a run folder, a checkpoint, or a Hugging Face folder.")
    raise InputError(f"{path}: no model in it (no config.json). Give a run that has trained, or a Hugging Face folder.")


def checkpoints(run: Path) -> list[Path]:
    """Every checkpoint folder of a run, oldest first."""
    steps = [folder for folder in (run / "checkpoints").glob("step-*") if folder.name[5:].isdecimal()]
    return sorted(steps, key=lambda folder: int(folder.name[5:]))


def start_inputs(folder: Path) -> dict[str, Any]:
    """What of a model's folder decides how a training from it comes out: its configuration, and its weight files.

    Weights go by name, size and time of change, as a corpus does: hashing gigabytes would take longer than looking
    whether anything is to be done.
    """
    files = sorted(path for path in folder.glob("*.safetensors*") if path.is_file())
    listing = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    return {"config.json": hash_file(folder / "config.json"), "weights": fingerprint(listing)}
