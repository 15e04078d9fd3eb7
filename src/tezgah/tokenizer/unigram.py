"""Unigram (Kudo 2018): a vocabulary cut down from a large one by how likely it makes the texts.

Learned by Hugging Face `tokenizers`, over bytes, so that no text is unknown. The library adds up in
the order of a hash table, and in that order tells the scores of the rarest bytes apart. Here these have
one score, scores are rounded, and ids follow them: trainings on the same texts then hardly ever differ.
"""

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import tokenizers

from tezgah.errors import InputError
from tezgah.tokenizer.artefact import BYTE_LEVEL_DECODER, NEVER, SEPARATOR, tokenizer_json
from tezgah.tokenizer.bytelevel import BYTE_CHARACTERS
from tezgah.tokenizer.patterns import pre_tokenizer
from tezgah.tokenizer.settings import Split
from tezgah.tokenizer.texts import Chunk

DECIMALS = 6  # of a log-probability: fewer than the order of additions changes
RAREST = 256e-4  # a byte that pruning leaves without a score gets the least one, and 1e-4 for each such byte before


def train_unigram(chunks: Iterable[Chunk], vocab_size: int, split: Split) -> list[tuple[str, float]]:
    """Tokens by id with their log-probabilities, learned from chunks of normalized texts; the separator is first.

    There are fewer than `vocab_size` where the texts give no more. Raises InputError for texts without a character.
    """
    library = tokenizers.Tokenizer.from_str(unigram_json([(SEPARATOR, 0.0)], split, None))
    trainer = tokenizers.trainers.UnigramTrainer(
        vocab_size=vocab_size,
        special_tokens=[SEPARATOR],
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    rows = (text[begin:end].tobytes().decode() for text, ends in chunks for begin, end in pairwise(ends))
    library.train_from_iterator(rows, trainer)
    learned = dict(json.loads(library.to_str())["model"]["vocab"][1:])
    if None in learned.values():  # no number: nothing was seen
        raise InputError("the training texts are empty: there is nothing to learn. Add text.")
    scores = {token: round(score, DECIMALS) for token, score in learned.items()}
    least = min(scores.values())
    scores |= {byte: least for byte in BYTE_CHARACTERS if scores[byte] < least + RAREST}
    return [(SEPARATOR, NEVER), *sorted(scores.items(), key=lambda entry: (-entry[1], entry[0]))]


def unigram_json(vocab: list[tuple[str, float]], split: Split, normalizer: dict[str, Any] | None) -> str:
    """The text of the `tokenizer.json` of a Unigram over bytes."""
    return tokenizer_json(
        model={"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": False},
        special={SEPARATOR: 0},
        normalizer=normalizer,
        pre_tokenizer=pre_tokenizer(split),
        decoder=BYTE_LEVEL_DECODER,
    )
