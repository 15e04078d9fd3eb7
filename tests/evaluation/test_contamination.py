import re
import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tezgah.evaluation.contamination import SEED_BYTES, WORDS, check_contamination

LETTERS = st.text(alphabet="aAb_ \n.é", max_size=120)


def corpus(*texts):
    return [pa.record_batch({"text": [text], "path": [f"{row}.txt"]}) for row, text in enumerate(texts)]


def words(text):
    lowered = "".join(letter.lower() if letter.isascii() else letter for letter in text)
    return re.findall(r"[a-z0-9_\x80-\U0010ffff]+", lowered)


def grams(text):
    found = words(text)
    return {tuple(found[place : place + WORDS]) for place in range(len(found) - WORDS + 1)}


def longest_common(a, b):
    """The textbook table."""
    a, b, best, before = a.encode(), b.encode(), 0, [0] * (len(b.encode()) + 1)
    for left in a:
        row = [0]
        for place, right in enumerate(b):
            row.append(before[place] + 1 if left == right else 0)
        best, before = max(best, *row), row
    return best


@given(tasks=st.lists(LETTERS, min_size=1, max_size=3), texts=st.lists(LETTERS, min_size=1, max_size=3))
@example(tasks=["a b " * 20, ""], texts=["x", "A.b\n" * 40])
@example(tasks=["ab" * 40], texts=["ab" * 30 + "b" + "ab" * 39 + "b"])
@example(tasks=["é" * 16, "é" * 15 + "x"], texts=["a" + "é" * 30])
def test_both_measures_are_those_of_brute_force(tasks, texts):
    found = check_contamination({str(row): task for row, task in enumerate(tasks)}, corpus(*texts))
    in_corpus = set().union(*map(grams, texts))
    for task, overlap in zip(tasks, found.overlaps, strict=True):
        assert overlap.ngrams == len(grams(task))
        assert overlap.shared == len(grams(task) & in_corpus)
        longest = max(longest_common(task, text) for text in texts)
        assert overlap.longest == (longest if longest >= SEED_BYTES else 0)
        assert overlap.bytes == len(task.encode())
    assert found.documents == len(texts)
    assert found.bytes == sum(len(text.encode()) for text in texts)


@given(st.data())
def test_a_task_that_was_planted_in_a_document_is_found(data):
    chance = np.random.default_rng(data.draw(st.integers(0, 1000)))
    names = ["alpha", "beta", "x", "return", "sum", "(", ")", "\n", "=", "+", "numbers", "0"]
    text, task = (" ".join(chance.choice(names, size=size)) for size in (400, 60))
    place = int(chance.integers(len(text)))
    found = check_contamination({"t": task}, corpus("nothing", f"{text[:place]} {task} {text[place:]}"))
    (overlap,) = found.overlaps
    assert overlap.longest >= overlap.bytes
    assert overlap.document == "1.txt"
    assert overlap.shared == overlap.ngrams > 0
    assert (found.shared, found.half, found.longest) == (1, 1, overlap.longest)
    assert task.startswith(overlap.excerpt.removesuffix("…"))


def test_nothing_is_found_where_nothing_is_shared():
    found = check_contamination({"t": "def add(a, b):\n    return a + b\n" * 3}, corpus("Sabah oldu. " * 50, ""))
    assert (found.shared, found.half, found.longest, found.tasks) == (0, 0, 0, 1)
    assert found.overlaps[0].document == found.overlaps[0].excerpt == ""


def test_a_hundred_megabytes_take_seconds():
    chance = np.random.default_rng(1)
    names = np.array([f"word{number}" for number in range(5_000)])
    text = " ".join(chance.choice(names, size=600_000))  # 5 MB
    tasks = {str(row): " ".join(chance.choice(names, size=150)) for row in range(164)}
    check_contamination(tasks, corpus("a"))  # compiled
    began = time.process_time()
    found = check_contamination(tasks, corpus(text))
    assert (time.process_time() - began) * 100e6 / found.bytes < 60
    assert found.shared == 0


@pytest.mark.parametrize("text", ["a " * 12, "a " * 13])
def test_a_task_of_fewer_words_has_no_13_gram(text):
    found = check_contamination({"t": text}, corpus(text))
    assert found.overlaps[0].ngrams == (1 if text.count("a") == 13 else 0)
