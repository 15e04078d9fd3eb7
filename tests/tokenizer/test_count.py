"""Counted words against the `regex` module and a dictionary."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tokenizer.engine_texts import SPLITS, buffers, texts
from tests.tokenizer.test_pretokenize import expected
from tezgah.tokenizer.count import LONGEST_WORD, Words, WordTable, count_texts, without
from tezgah.tokenizer.settings import Split


def counts(words: Words) -> dict[bytes, int]:
    arena, starts = words.arena.tobytes(), words.starts.tolist()
    found = [arena[begin:end] for begin, end in itertools.pairwise(starts)]
    assert len(set(found)) == len(found)
    return dict(zip(found, words.counts.tolist(), strict=True))


@pytest.mark.parametrize("split", SPLITS)
@given(rows=st.lists(texts, max_size=6))
def test_words_are_the_pieces_of_the_rows(split: Split, rows: list[str]):
    wanted = Counter(piece.encode() for row in rows for piece in expected(split, row))
    assert counts(count_texts([buffers(rows)], split, threads=1)) == wanted


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_threads_and_chunks_change_no_count(threads: int):
    random = np.random.default_rng(1)
    rows = ["".join(random.choice(list("ab \n'sığ1"), size=200)) for _ in range(300)]
    whole = counts(count_texts([buffers(rows)], "gpt2", threads=1))
    chunks = [buffers(rows[start : start + 7]) for start in range(0, len(rows), 7)]
    assert counts(count_texts(chunks, "gpt2", threads)) == whole


def test_tables_grow_for_as_many_words_as_there_are():
    rows = [" ".join(str(number) for number in range(start, start + 1_000)) for start in range(0, 60_000, 1_000)]
    found = counts(count_texts([buffers(rows)], "gpt2", threads=2))
    assert len(found) == 60_000  # the first of a row stands bare, every other with its space
    assert sum(found.values()) == 60_000


def test_a_word_is_cut_between_characters_where_it_is_too_long():
    text = "ğ" * LONGEST_WORD
    found = counts(count_texts([buffers([text])], "gpt2", threads=1))
    assert found == {("ğ" * (LONGEST_WORD // 2)).encode(): 2}
    text = "a" + "ğ" * LONGEST_WORD
    found = counts(count_texts([buffers([text])], "gpt2", threads=1))
    assert sum(len(word) * times for word, times in found.items()) == len(text.encode())
    assert sorted(map(len, found)) == [2, LONGEST_WORD - 1, LONGEST_WORD]
    for word in found:
        word.decode()


def test_a_text_without_a_space_is_read_once():
    # Read to its end for every word of 4,096 bytes, these 30 MB would be 100 GB: minutes.
    words = count_texts([buffers(["x" * 30_000_000])], "gpt2", threads=1)
    assert counts(words) == {b"x" * LONGEST_WORD: 7_324, b"x" * (30_000_000 % LONGEST_WORD): 1}


def test_a_count_beyond_32_bits_is_exact():
    table = WordTable()
    arena, starts = buffers(["bir", "iki"])
    table.add(Words(arena, starts, np.array([1 << 40, 3])))
    table.add(Words(arena, starts, np.array([5, (1 << 31) - 1])))
    assert counts(table.result()) == {b"bir": (1 << 40) + 5, b"iki": (1 << 31) + 2}


def test_words_that_hold_a_part_count_nothing():
    arena, starts = buffers(["a<x>b", "<x", ">c", "<<x>"])
    left = without(Words(arena, starts, np.array([1, 2, 3, 4])), b"<x>")
    assert left.counts.tolist() == [0, 2, 3, 0]  # what two words make up together is in neither
    assert without(Words(arena, starts, np.array([1, 2, 3, 4])), b"y").counts.tolist() == [1, 2, 3, 4]
