"""WordPiece (Schuster & Nakajima 2012; BERT, Devlin et al. 2019): a vocabulary of word beginnings and ##continuations.

It is learned as Hugging Face `tokenizers` does it, by the merges of a BPE over characters; what
comes out is the vocabulary, and text is cut by the longest token that fits (`longest.py`). The
library gives the ## symbols their ids in the order of a hash table, which differs from run to run
and decides ties (its issue #1794); here they are sorted, and the same texts give the same file.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tezgah.errors import InputError
from tezgah.tokenizer.artefact import tokenizer_json
from tezgah.tokenizer.bpe import segments_of, train
from tezgah.tokenizer.characters import CODE_POINTS, characters_of, most_frequent
from tezgah.tokenizer.count import Words
from tezgah.tokenizer.longest import LONGEST_WORD

MARK = "##"
UNKNOWN, BEGIN, SEPARATOR = "[UNK]", "[CLS]", "[SEP]"
SPECIAL_TOKENS = ("[PAD]", UNKNOWN, BEGIN, SEPARATOR, "[MASK]")  # ids 0 to 4


def train_wordpiece(
    words: Words, vocab_size: int, min_frequency: int = 0, limit_alphabet: int | None = None
) -> dict[str, int]:
    """The vocabulary of a WordPiece over words that were counted by the split "bert".

    Ids: the special tokens, the alphabet by code point, the same characters inside words (##) by
    code point, then one a merge, most frequent pair first (ties: the smaller pair of ids) while
    pairs occur `min_frequency` times. The alphabet is the `limit_alphabet` most frequent characters,
    ties by code point; all of them where it is None. Raises InputError for a vocabulary too small.

    >>> from tezgah.tokenizer.count import count_texts
    >>> from tezgah.tokenizer.texts import utf8
    >>> list(train_wordpiece(count_texts(utf8(["su suda"]), "bert", threads=1), vocab_size=15))[5:]
    ['a', 'd', 's', 'u', '##a', '##d', '##u', 'su', '##da', 'suda']
    """
    characters = characters_of(words)
    alphabet = most_frequent(characters.frequencies(), limit_alphabet)
    first = characters.are_first()
    inner = np.intersect1d(alphabet, characters.points[~first])
    symbols = [*map(chr, alphabet.tolist()), *(MARK + chr(point) for point in inner.tolist())]
    least = len(SPECIAL_TOKENS) + len(symbols)
    if vocab_size < least:
        raise InputError(
            f"tokenizer.vocab_size: {vocab_size:,} is too small: {len(SPECIAL_TOKENS)} special tokens and the texts' "
            f"alphabet of {len(symbols):,} symbols take {least:,}. Set it to {least:,} or more."
        )
    begin = len(SPECIAL_TOKENS)
    ids = np.where(
        first,
        _id_table(alphabet, begin)[characters.points],
        _id_table(inner, begin + len(alphabet))[characters.points],
    )
    segments = segments_of(ids, characters.starts, characters.counts)
    tokens = [*(b"" for _ in SPECIAL_TOKENS), *(symbol.encode() for symbol in symbols)]
    learned = train(segments, tokens, vocab_size, min_frequency, mark=MARK.encode())
    names = [*SPECIAL_TOKENS, *(token.decode() for token in learned.tokens[begin:])]
    return {name: token_id for token_id, name in enumerate(names)}


def wordpiece_json(vocab: dict[str, int], normalizer: dict[str, Any] | None) -> str:
    """The text of the `tokenizer.json` of a WordPiece, which frames a text or a pair with [CLS] and [SEP]."""
    return tokenizer_json(
        model={
            "type": "WordPiece",
            "unk_token": UNKNOWN,
            "continuing_subword_prefix": MARK,
            "max_input_chars_per_word": LONGEST_WORD,
            "vocab": vocab,
        },
        special={name: vocab[name] for name in SPECIAL_TOKENS},
        normalizer=normalizer,
        pre_tokenizer={"type": "BertPreTokenizer"},
        post_processor={
            "type": "BertProcessing",
            "sep": [SEPARATOR, vocab[SEPARATOR]],
            "cls": [BEGIN, vocab[BEGIN]],
        },
        decoder={"type": "WordPiece", "prefix": MARK, "cleanup": True},
    )


def _id_table(points: NDArray[np.int64], begin: int) -> NDArray[np.int32]:
    """Ids from `begin` on for these code points, -1 for the others, (0x110000,)."""
    table = np.full(CODE_POINTS, -1, np.int32)
    table[points] = np.arange(begin, begin + len(points))
    return table
