"""Measures on texts small enough to count by hand."""

import pyarrow as pa

from tezgah.tokenizer.measure import measure
from tezgah.tokenizer.tokenizer import Tokenizer


def test_measures_count_what_they_say():
    tokenizer = Tokenizer.train([" su su su"], vocab_size=259)  # merges: "su", " su"
    texts = ["su su suç", "ab", ""]  # su| su| su,Ã,§ and a|b
    found = measure(tokenizer, texts)
    assert (found.documents, found.bytes, found.tokens) == (3, 12, 7)
    assert found.bytes_per_token == 12 / 7
    assert found.words == 4  # " su" twice is 1 token each, " suç" 3, " ab" 3
    assert found.tokens_per_word == (1 + 1 + 3 + 3) / 4
    assert found.words_continued == 2 / 4
    assert found.vocabulary_used == 6 / 259  # su, " su", two bytes of ç, a, b
    assert found.longest_tokens[:2] == (" su", "su")
    assert measure(tokenizer, pa.array(texts)) == found


def test_measures_of_nothing_are_zero():
    found = measure(Tokenizer.train([], vocab_size=257), [])
    assert (found.tokens, found.bytes_per_token, found.tokens_per_word) == (0, 0.0, 0.0)
