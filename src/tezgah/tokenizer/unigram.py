"""Unigram (Kudo 2018): a vocabulary cut down from a large one by how likely it makes the texts.

Learned by Hugging Face `tokenizers`, over bytes, so that no text is unknown. The library adds up in
the order of a hash table: two trainings on the same texts may differ in a few tokens.
"""

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import tokenizers

from tezgah.tokenizer.artefact import BYTE_LEVEL_DECODER, SEPARATOR, tokenizer_json
from tezgah.tokenizer.normalize import Chunk
from tezgah.tokenizer.patterns import pre_tokenizer
from tezgah.tokenizer.settings import Split

NEVER = -1e6  # log-probability of the separator: bytes by themselves are likelier, so no text spells it


def unigram_json(chunks: Iterable[Chunk], vocab_size: int, split: Split, normalizer: dict[str, Any] | None) -> str:
    """The text of the `tokenizer.json` of a Unigram learned from chunks of normalized texts; the separator is id 0."""

    def whole(model: dict[str, Any]) -> str:
        return tokenizer_json(model, {SEPARATOR: 0}, normalizer, pre_tokenizer(split), BYTE_LEVEL_DECODER)

    library = tokenizers.Tokenizer.from_str(whole({"type": "Unigram", "unk_id": 0, "vocab": [[SEPARATOR, 0.0]]}))
    library.normalizer = None
    trainer = tokenizers.trainers.UnigramTrainer(
        vocab_size=vocab_size,
        special_tokens=[SEPARATOR],
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    rows = (text[begin:end].tobytes().decode() for text, ends in chunks for begin, end in pairwise(ends))
    library.train_from_iterator(rows, trainer)
    model = json.loads(library.to_str())["model"]
    model["vocab"][0] = [SEPARATOR, NEVER]
    return whole(model)
