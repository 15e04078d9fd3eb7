"""About thirteen million tokens of Python as every contestant of time_to_quality.py reads them.

The files are pinned: the standard library without its tests, and the packages named below, each in
the version installed here. Versions and a hash of all the text stand in the results.
"""

import hashlib
import sysconfig
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from tezgah import Tokenizer
from tezgah.files import hash_file, read_json, write_json

PACKAGES = ("matplotlib", "networkx", "numpy", "pandas", "sympy")
VALIDATION_SHARE = 0.05
PART = 16_384  # characters of a document: long files are cut, so that the split is even


@dataclass(frozen=True)
class PythonTokens:
    """Where the ids lie (`train.npy`, `validation.npy`, uint16), and what they are."""

    folder: str
    vocab_size: int
    train_tokens: int
    validation_tokens: int
    bytes_per_token: float
    sha256: str
    packages: dict[str, str]


def python_tokens(folder: Path, vocab_size: int) -> PythonTokens:
    """The ids of a vocabulary of that size, made where they are not there yet."""
    said = folder / f"python-{vocab_size}.json"
    if said.exists():
        fields = read_json(said)
        return PythonTokens(**fields)
    documents, packages = _documents()
    tokenizer = Tokenizer.train(documents, vocab_size=vocab_size, split="gpt2")
    here = folder / f"python-{vocab_size}"
    here.mkdir(parents=True, exist_ok=True)
    tokenizer.save(here)
    flat, offsets = tokenizer.encode_batch(documents)
    streams: dict[str, list[np.ndarray]] = {"train": [], "validation": []}
    held = 0
    for number in range(len(documents)):
        ids = flat[offsets[number] : offsets[number + 1]]
        digest = hashlib.sha256(documents[number].encode()).digest()
        split = "validation" if digest[0] < 256 * VALIDATION_SHARE else "train"
        streams[split] += [np.zeros(1, np.uint16), ids.astype(np.uint16)]  # the separator comes first
        held += len(ids) + 1
    for split, parts in streams.items():
        np.save(here / f"{split}.npy", np.concatenate(parts))
    sizes = {split: int(sum(map(len, parts))) for split, parts in streams.items()}
    size = sum(len(document.encode()) for document in documents)
    made = PythonTokens(
        folder=str(here),
        vocab_size=vocab_size,
        train_tokens=sizes["train"],
        validation_tokens=sizes["validation"],
        bytes_per_token=size / held,
        sha256=hash_file(here / "train.npy"),
        packages=packages,
    )
    write_json(said, asdict(made))
    return made


def _documents() -> tuple[list[str], dict[str, str]]:
    """Files in order, cut into parts, each part once; and the versions they are of."""
    roots = [Path(sysconfig.get_paths()["stdlib"])]
    roots += [Path(sysconfig.get_paths()["purelib"]) / name for name in PACKAGES]
    parts: dict[str, None] = {}
    for root in roots:
        for path in sorted(root.rglob("*.py")):
            inside = path.relative_to(root).parts
            if {"site-packages", "test", "tests", "idle_test"} & set(inside):
                continue
            try:
                text = path.read_text("utf-8")
            except (OSError, UnicodeDecodeError):
                continue
            parts |= dict.fromkeys(text[start : start + PART] for start in range(0, len(text), PART))
    versions = {name: metadata.version(name) for name in PACKAGES}
    return list(parts), versions
