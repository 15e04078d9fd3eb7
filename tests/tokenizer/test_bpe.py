"""Merges and ids against Hugging Face `tokenizers`, and against themselves."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers

from tests.tokenizer.engine_texts import buffers
from tezgah.tokenizer.bpe import Bpe, byte_segments, train
from tezgah.tokenizer.bytelevel import BYTE_CHARACTERS
from tezgah.tokenizer.count import Words, count_texts
from tezgah.tokenizer.word_ids import merge_words, pair_table

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "text"
SEPARATOR = "<|endoftext|>"
ALPHABET = sorted(range(256), key=lambda byte: BYTE_CHARACTERS[byte])
BYTE_IDS = np.argsort(ALPHABET).astype(np.int32) + 1


def words_of(texts: list[str]) -> Words:
    return count_texts([buffers(texts)], "gpt2", threads=1)


def ours(words: Words, vocab_size: int, **limits: Any) -> Bpe:
    return train(byte_segments(words, BYTE_IDS), [b"", *(bytes([byte]) for byte in ALPHABET)], vocab_size, **limits)


def spelled(bpe: Bpe) -> tuple[dict[str, int], list[tuple[str, str]]]:
    names = [SEPARATOR, *("".join(BYTE_CHARACTERS[byte] for byte in token) for token in bpe.tokens[1:])]
    return (
        {name: token_id for token_id, name in enumerate(names)},
        [(names[left], names[right]) for left, right, _ in bpe.merges.tolist()],
    )


def theirs(texts: list[str], vocab_size: int, min_frequency: int = 0, max_token_length: int | None = None):
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        max_token_length=max_token_length,
        special_tokens=[SEPARATOR],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(merge) for merge in model["merges"]]


def test_merges_are_those_of_the_library_on_five_hundred_awkward_corpora():
    # Few letters make many ties, pairs that overlap themselves, and merged tokens that are there already.
    chance = random.Random(7)
    for _ in range(500):
        letters = chance.choice(["ab", "abc", "ab ", "aab'sc 1", "ığü a", "abcdefgh "])
        texts = ["".join(chance.choices(letters, k=chance.randint(1, 200))) for _ in range(chance.randint(1, 6))]
        limits = {}
        if chance.random() < 0.3:
            limits["min_frequency"] = chance.randint(0, 4)
        if chance.random() < 0.3:
            limits["max_token_length"] = chance.randint(2, 8)
        vocab_size = 257 + chance.randint(0, 120)
        assert spelled(ours(words_of(texts), vocab_size, **limits)) == theirs(texts, vocab_size, **limits), texts


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared test data is not here")
@pytest.mark.parametrize("name", ["tr/python_docs_tr.txt", "the-verdict.txt"])
def test_merges_are_those_of_the_library_on_real_text(name: str):
    texts = [(DATA / name).read_text("utf-8")]
    assert spelled(ours(words_of(texts), 3_000)) == theirs(texts, 3_000)


def test_training_goes_on_from_any_merge_as_if_it_had_not_stopped():
    chance = random.Random(3)
    words = words_of(["".join(chance.choices("abcğ '", k=3_000))])
    whole = ours(words, 500)
    part = ours(words, 350)
    segments = byte_segments(words, BYTE_IDS)
    merge_words(segments.ids, segments.words, pair_table(part.merges))
    rest = train(segments, part.tokens, 500)
    assert rest.tokens == whole.tokens
    assert np.array_equal(np.concatenate([part.merges, rest.merges]), whole.merges)


def test_counts_beyond_32_bits_decide_as_they_are():
    arena, starts = buffers(["ab", "cd"])
    bpe = ours(Words(arena, starts, np.array([(1 << 31) + 1, 1 << 32])), 258)
    assert bpe.tokens[-1] == b"cd"


def test_bytes_left_out_of_the_alphabet_leave_their_words():
    byte_ids = BYTE_IDS.copy()
    byte_ids[ord("x")] = -1
    arena, starts = buffers(["axb", "xx", "ab"])
    segments = byte_segments(Words(arena, starts, np.array([1, 1, 1])), byte_ids)
    assert segments.words[:, 1].tolist() == [2, 0, 2]
    assert train(segments, [b"", *(bytes([byte]) for byte in ALPHABET)], 300).tokens[257:] == [b"ab"]
