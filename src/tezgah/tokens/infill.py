"""Fill-in-the-middle training: documents written so that what lies between two cuts comes last.

Bavarian et al. 2022, "Efficient Training of Language Models to Fill in the Middle", section 3. A document is
cut at two of its characters' bounds, each as likely as any other, into prefix, middle and suffix. Half of those that
are chosen are written as PSM, half as SPM, in the paper's second variant, where the middle goes on from the prefix as
in ordinary text:

    PSM  <|fim_prefix|> prefix <|fim_suffix|> suffix <|fim_middle|> middle
    SPM  <|fim_prefix|> <|fim_suffix|> suffix <|fim_middle|> prefix middle

The separator behind a document, as behind any other, ends the middle. Each part is encoded by itself, so a cut within
what would be one token is read in training as it is met in an editor.

What becomes of a document follows from the seed and its own text: it is the same in any batch, stored or streamed, in
every epoch, whatever stands before it. Nothing is remembered, so nothing is lost in a stop.
"""

import hashlib
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tezgah.corpus.cut import text_buffers
from tezgah.errors import InputError
from tezgah.seeds import named_seed
from tezgah.tokenizer.infill import InfillTokens, infill_tokens
from tezgah.tokenizer.tokenizer import Tokenizer

SPM_SHARE = 0.5  # of the documents that are cut: the paper's joint training
PARTS = 3
DRAWS = 4  # of a document: whether it is cut, which order, two cuts
UNIT = 2.0**-53  # 53 bits of a word are a float in [0, 1)
PSM, SPM = (0, 2, 1), (2, 0, 1)  # the order in which prefix 0, middle 1 and suffix 2 are written
PSM_TOKENS, SPM_TOKENS = (1, 1, 1), (2, 1, 0)  # how many of prefix, suffix and middle tokens come before each

Ids = NDArray[np.integer]
Places = NDArray[np.int64]
Encode = Callable[[pa.StringArray], tuple[Ids, Places]]
"""Gives the ids of documents, (tokens,), and where each one's begin and the last one's end, (rows + 1,)."""


def training_encoder(tokenizer: Tokenizer, rate: float, seed: int) -> Encode:
    """What writes documents to train on as ids: `rate` of them to be filled in, all others as `encode_batch` does.

    Raises InputError for a rate above 0 and a tokenizer without the tokens.
    """
    if not rate:
        return tokenizer.encode_batch
    check_infills(tokenizer)
    tokens = infill_tokens(tokenizer)
    assert tokens is not None
    key = named_seed(seed, "fill in the middle").to_bytes(8, "little")

    def encode(texts: pa.StringArray) -> tuple[Ids, Places]:
        draws = _draws(texts, key)  # (rows, 4)
        is_cut = draws[:, 0] < rate
        is_spm = is_cut & (draws[:, 1] < SPM_SHARE)
        ids, ends = tokenizer.encode_batch(_parts(texts, is_cut, draws[:, 2:]))
        _check_text(ids, tokens)
        return _written(ids, ends, is_cut, is_spm, tokens)

    return encode


def check_infills(tokenizer: Tokenizer) -> None:
    """Raise InputError for a tokenizer without the tokens."""
    if infill_tokens(tokenizer) is None:
        raise InputError(
            "the tokenizer has no <|fim_prefix|>, <|fim_suffix|> and <|fim_middle|>, which [tokens] fim_rate needs. "
            "Leave [tokenizer] path and [model] from out, and the run trains one that has them; or set fim_rate to 0."
        )


def _draws(texts: pa.StringArray, key: bytes) -> NDArray[np.float64]:
    """Four numbers in [0, 1) for each document, a function of the key and its text, (rows, 4).

    A gigabyte of text a second: a hundredth of the time that encoding it takes.
    """
    offsets, data = text_buffers(texts)
    view = memoryview(data)
    size = DRAWS * 8
    hashes = b"".join(
        hashlib.blake2b(view[start:end], digest_size=size, key=key).digest()
        for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    )
    words = np.frombuffer(hashes, "<u8").reshape(-1, DRAWS)
    return (words >> np.uint64(11)).astype(np.float64) * UNIT


def _parts(texts: pa.StringArray, is_cut: NDArray[np.bool_], draws: NDArray[np.float64]) -> pa.StringArray:
    """Prefix, middle and suffix of each document, (3 × rows,); of one that is not cut all is prefix.

    `draws`, (rows, 2), say where the cuts are. The parts are slices of the same buffer: no text is copied.
    """
    offsets, data = text_buffers(texts)
    first = int(offsets[0])
    is_start = np.frombuffer(data, np.uint8)[first : int(offsets[-1])] & 0xC0 != 0x80  # of a character in UTF-8
    starts = np.append(np.flatnonzero(is_start) + first, offsets[-1])  # (characters + 1,) bytes
    bounds = np.searchsorted(starts, offsets)  # (rows + 1,) the characters at which documents begin
    places = np.floor(draws * (np.diff(bounds)[:, None] + 1)).astype(np.int64)  # (rows, 2) from 0 to all characters
    cuts = starts[bounds[:-1, None] + np.sort(places, axis=1)]  # (rows, 2) bytes
    cuts[~is_cut] = offsets[1:, None][~is_cut]
    begins = np.column_stack([offsets[:-1], cuts]).ravel()  # (3 × rows,)
    ends = np.append(begins, offsets[-1]).astype(np.int32)
    return pa.StringArray.from_buffers(len(begins), pa.py_buffer(ends), data)


def _written(
    ids: Ids, ends: Places, is_cut: NDArray[np.bool_], is_spm: NDArray[np.bool_], tokens: InfillTokens
) -> tuple[Ids, Places]:
    """The parts' ids in the order in which documents have them, with the tokens before them; and where each begins."""
    rows = len(is_cut)
    orders = np.where(is_spm[:, None], SPM, np.where(is_cut[:, None], PSM, range(PARTS)))  # (rows, 3)
    before = np.where(is_spm[:, None], SPM_TOKENS, np.where(is_cut[:, None], PSM_TOKENS, 0)).ravel()  # (3 × rows,)
    order = (orders + PARTS * np.arange(rows)[:, None]).ravel()  # (3 × rows,) parts
    lengths = np.diff(ends)[order]
    begins = np.cumsum(lengths) - lengths  # (3 × rows,) of each part, without the tokens
    taken = np.repeat(ends[:-1][order] - begins, lengths) + np.arange(len(ids))  # (tokens,)
    written = np.insert(ids[taken], np.repeat(begins, before), np.tile(tokens, int(is_cut.sum())))
    sizes = (lengths + before).reshape(rows, PARTS).sum(axis=1)
    return written, np.concatenate([[0], np.cumsum(sizes)])


def _check_text(ids: Ids, tokens: InfillTokens) -> None:
    if np.isin(ids, tokens).any():
        raise InputError(
            "a text spells a token of filling in the middle, and this tokenizer's own rules turn it into that token. "
            "Take it out of the text, or use another tokenizer."
        )
