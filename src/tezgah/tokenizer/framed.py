"""Texts, or pairs of texts, as a classification reads them: cut to a length, with the special tokens around them.

The frame is the file's own post-processor, applied by Hugging Face `tokenizers`, so that
`transformers` gives the same ids. A file without one gets BERT's for an encoder, and for a causal
model a separator between two texts.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray

from tezgah.errors import InputError
from tezgah.tokenizer.artefact import as_text, parse
from tezgah.tokenizer.wordpiece import BEGIN, SEPARATOR

PADDING = ("[PAD]", "<pad>")


@dataclass(frozen=True)
class Framed:
    """Ids and token types of every row, how long each is, and whether it was cut, (rows,)."""

    ids: list[list[int]]
    types: list[list[int]]
    lengths: NDArray[np.int64]
    is_cut: NDArray[np.bool_]


def frame(tokenizer_json: str, texts: Sequence[str], pairs: Sequence[str] | None, longest: int) -> Framed:
    """Rows of at most `longest` tokens; of longer texts the beginning is kept, of a pair the longer one is cut first.

    Special tokens are never found inside a text.
    """
    library = tokenizers.Tokenizer.from_str(tokenizer_json)
    library.encode_special_tokens = True
    library.no_padding()
    library.enable_truncation(longest, strategy="longest_first")
    given: Any = list(texts) if pairs is None else list(zip(texts, pairs, strict=True))
    rows = library.encode_batch(given)
    return Framed(
        [row.ids for row in rows],
        [row.type_ids for row in rows],
        np.array([len(row.ids) for row in rows], np.int64),
        np.array([bool(row.overflowing) for row in rows], np.bool_),
    )


def framed_json(tokenizer_json: str, separator: str | None, is_causal: bool) -> str:
    """The text of a `tokenizer.json` that frames texts; the file's own frame stays where it has one.

    Raises InputError for an encoder's tokenizer without [CLS] and [SEP].
    """
    file = json.loads(tokenizer_json) | {"truncation": None, "padding": None}
    if tokenizers.Tokenizer.from_str(tokenizer_json).num_special_tokens_to_add(False) > 0:
        return as_text(file)
    ids = parse(tokenizer_json).ids()
    if is_causal:
        pair = ["A", "B"] if separator is None else ["A", separator, "B"]
        return as_text(file | {"post_processor": _template(["A"], pair, ids, second_type=0)})
    if missing := [name for name in (BEGIN, SEPARATOR) if name not in ids]:
        raise InputError(
            f"the tokenizer has no {' and no '.join(missing)} to frame texts with, as an encoder needs. "
            "Train one with `tezgah tokenizer train --algorithm wordpiece`."
        )
    single = [BEGIN, "A", SEPARATOR]
    return as_text(file | {"post_processor": _template(single, [*single, "B", SEPARATOR], ids, second_type=1)})


def padding_id(tokenizer_json: str, separator: str | None) -> int | None:
    """The id to pad with: the padding token's, or else the separator's, which no text has; None without either."""
    ids = parse(tokenizer_json).ids()
    name = next((name for name in (*PADDING, separator) if name is not None and name in ids), None)
    return None if name is None else ids[name]


def _template(single: list[str], pair: list[str], ids: dict[str, int], second_type: int) -> dict[str, Any]:
    """A post-processor of texts, A and B, and special tokens; what comes after A's part is of the second type."""

    def steps(names: list[str], after: int) -> list[dict[str, Any]]:
        return [
            {"Sequence" if name in ("A", "B") else "SpecialToken": {"id": name, "type_id": second_type * (n >= after)}}
            for n, name in enumerate(names)
        ]

    named = [name for name in dict.fromkeys(single + pair) if name not in ("A", "B")]
    return {
        "type": "TemplateProcessing",
        "single": steps(single, len(single)),
        "pair": steps(pair, pair.index("B")),
        "special_tokens": {name: {"id": name, "ids": [ids[name]], "tokens": [name]} for name in named},
    }
