"""Measures on texts small enough to count by hand, and counted in Python on real ones."""

import json
import sysconfig
from collections import Counter
from collections.abc import Iterator
from math import log
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from tezgah.errors import InputError
from tezgah.tokenizer import texts as text_module
from tezgah.tokenizer.keywords import known_words
from tezgah.tokenizer.measure import changed_words, measure, measure_all
from tezgah.tokenizer.telling import telling_tokens
from tezgah.tokenizer.tokenizer import Tokenizer
from tezgah.tokenizer.words import WordCounts
from tezgah.tokenizer_operands import keywords_of

ARGPARSE = (Path(sysconfig.get_paths()["stdlib"]) / "argparse.py").read_text("utf-8")
SEPARATORS = "\x1c\x1d\x1e\x1f"  # white space to Python, not to Unicode


@pytest.fixture(scope="module")
def su() -> Tokenizer:
    return Tokenizer.train([" su su su"], vocab_size=259)  # merges: "su", " su"


def loaded(folder: Path, library: tokenizers.Tokenizer) -> Tokenizer:
    library.save(str(folder / "tokenizer.json"))
    return Tokenizer.load(folder)


def word_piece(folder: Path) -> Tokenizer:
    vocab = {"[SEP]": 0, "[UNK]": 1, "ev": 2, "##de": 3, "##ler": 4, "if": 5}
    library = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocab, unk_token="[UNK]"))
    library.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    library.decoder = tokenizers.decoders.WordPiece()
    return loaded(folder, library)


def test_measures_count_what_they_say(su: Tokenizer):
    texts = ["su su suç", "ab", ""]  # su| su| su,Ã,§ and a|b
    found = measure(su, texts)
    assert (found.documents, found.bytes, found.tokens) == (3, 12, 7)
    assert found.bytes_per_token == 12 / 7
    assert found.words == 4  # " su" twice is 1 token each, " suç" 3, " ab" 3
    assert found.tokens_per_word == (1 + 1 + 3 + 3) / 4
    assert found.words_continued == 2 / 4
    assert found.vocabulary_used == 6 / 259  # su, " su", two bytes of ç, a, b
    assert found.vocabulary_rare == 1
    assert (found.tokens_unknown, found.tokens_partial) == (0, 2 / 7)
    assert found.longest_tokens[:2] == (" su", "su")
    assert measure(su, pa.array(texts)) == found


def test_an_id_seen_ten_times_is_not_rare(su: Tokenizer):
    assert measure(su, ["a" * 9 + "b" * 10]).vocabulary_rare == 258 / 259


def test_measures_of_nothing_are_zero():
    found = measure(Tokenizer.train([], vocab_size=257), [])
    assert (found.tokens, found.bytes_per_token, found.tokens_per_word) == (0, 0.0, 0.0)


def test_measures_equal_a_count_in_python_with_the_library():
    tokenizer = Tokenizer.train([ARGPARSE], vocab_size=600)
    texts = [*ARGPARSE.split("\n\n"), "köy evi\u2003İzmir'de", "\x85\u00a0"]
    library = tokenizers.Tokenizer.from_str(tokenizer.json)
    ids = Counter(each for text in texts for each in library.encode(text).ids)
    words = Counter(word for text in texts for word in text.split())
    lengths = {word: len(library.encode(f" {word}").ids) for word in words}
    found = measure(tokenizer, texts)
    assert (found.documents, found.tokens, found.words) == (len(texts), ids.total(), words.total())
    assert found.bytes == sum(len(text.encode()) for text in texts)
    assert found.tokens_per_word == sum(words[word] * lengths[word] for word in words) / words.total()
    assert found.words_continued == sum(words[word] for word in words if lengths[word] > 1) / words.total()
    assert found.vocabulary_used == len(ids) / 600
    assert found.vocabulary_rare == 1 - sum(count >= 10 for count in ids.values()) / 600


def test_how_texts_come_changes_nothing(su: Tokenizer, monkeypatch: pytest.MonkeyPatch):
    texts = ["su  su", "", "suç\n\nsu", " "] * 5
    whole = measure(su, texts)
    monkeypatch.setattr(text_module, "CHUNK_BYTES", 8)
    assert measure(su, (pa.record_batch({"text": [text]}) for text in texts)) == whole
    assert measure(su, pa.table({"text": texts})) == whole


@given(st.lists(st.text(st.characters(exclude_characters=SEPARATORS, exclude_categories=("Cs", "Cn")))))
def test_words_are_those_of_splitting_at_white_space(texts: list[str]):
    counts = WordCounts()
    for text in texts:
        counts.add(pa.array([text, " b a\ta"], pa.large_string()))
    words, times = counts.result()
    expected = Counter(f" {word}" for text in texts for word in [*text.split(), "b", "a", "a"])
    assert dict(zip(words.to_pylist(), times.tolist(), strict=True)) == expected


def test_unknown_tokens_of_a_word_piece_are_counted(tmp_path: Path):
    found = measure(word_piece(tmp_path), ["evde evler kedi köpek"])
    assert (found.tokens, found.tokens_unknown, found.tokens_partial) == (6, 2 / 6, 0)
    assert found.longest_tokens == ("ler", "ev", "de", "if")  # the mark of continued words adds nothing to a text


def test_bytes_that_a_vocabulary_falls_back_to_are_counted(tmp_path: Path):
    vocab = {"<unk>": 0, "</s>": 1} | {f"<0x{byte:02X}>": 2 + byte for byte in range(256)} | {"▁": 258, "e": 259}
    library = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, [], unk_token="<unk>", byte_fallback=True))
    library.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    library.decoder = tokenizers.decoders.Metaspace()
    tokenizer = loaded(tmp_path, library)
    found = measure(tokenizer, ["e ğe"])  # ▁ e ▁ C4 9F e
    assert (found.tokens, found.tokens_unknown, found.tokens_partial) == (6, 0, 2 / 6)


def test_several_tokenizers_are_measured_in_one_pass(su: Tokenizer):
    other = Tokenizer.train([], vocab_size=257)
    texts = iter(["su su", "ab"])
    first, second = measure_all([su, other], texts)
    assert first.measures == measure(su, ["su su", "ab"])
    assert second.measures == measure(other, ["su su", "ab"])
    assert first.counts.sum() == 4 and second.counts.sum() == 7
    assert first.encode_seconds > 0


def test_texts_are_let_go_as_they_are_read(su: Tokenizer):
    held = []

    def batches() -> Iterator[Any]:
        before = pa.total_allocated_bytes()
        for _ in range(20):
            held.append(pa.total_allocated_bytes() - before)
            yield pa.record_batch({"text": ["su " * 1_000] * 200})  # 0.6 MB

    assert measure(su, batches()).bytes == 20 * 600_000
    assert max(held) < 6_000_000


def test_one_data_set_is_told_by_the_bytes_that_tokens_save(su: Tokenizer):
    told = telling_tokens(measure_all([su], ["su su su ab"]))  # su 1 × 1, " su" 2 × 2; a and b save nothing
    assert told == [[b" su", b"su"]]


def test_several_data_sets_are_told_by_what_the_others_lack(su: Tokenizer):
    measured = [measure_all([su], texts)[0] for texts in (["ab ab ac"], ["ab"], ["su su"])]
    # of the first: a 3, b 2, " " 2, c 1 of 8 tokens; of the others a 1, b 1, su 1, " su" 1 of 4; 259 added to each
    terms = {" ": (3 / 267, 1 / 263), "a": (4 / 267, 2 / 263), "c": (2 / 267, 1 / 263), "b": (3 / 267, 2 / 263)}
    assert sorted(terms, key=lambda token: -terms[token][0] * log(terms[token][0] / terms[token][1])) == [*" acb"]
    # the second has a and b less often than the others; of equal ones the smaller id comes first
    assert telling_tokens(measured) == [[b" ", b"a", b"c", b"b"], [], [b"su", b" su"]]


def test_keywords_are_known_when_they_are_one_token(tmp_path: Path, su: Tokenizer):
    found = known_words(su, ["su", "s", "us"])
    assert (found.words, found.missing, found.missing_with_space) == (3, ("us",), ("s", "us"))
    found = known_words(word_piece(tmp_path), ["if", "else"])  # "else" is one token too, the unknown one
    assert (found.missing, found.missing_with_space) == (("else",), ("else",))


def test_keywords_are_a_languages_or_a_files(tmp_path: Path):
    assert {"nonlocal", "await", "None"} < set(keywords_of("python"))
    (tmp_path / "words.txt").write_text("bir\n\niki \nbir\n", "utf-8")
    assert keywords_of(str(tmp_path / "words.txt")) == ("bir", "iki")
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(InputError, match=r"empty.txt: holds no word. Write one a line."):
        keywords_of(str(tmp_path / "empty.txt"))
    (tmp_path / "latin.txt").write_bytes("köy".encode("latin-1"))
    with pytest.raises(InputError, match="latin.txt: not UTF-8 text"):
        keywords_of(str(tmp_path / "latin.txt"))
    with pytest.raises(InputError, match=r"--keywords cobol: neither a language known here \(python\) nor a file"):
        keywords_of("cobol")


def test_changed_words_are_those_with_other_ids(su: Tokenizer):
    new = su.extend([" ab ab"], add=2)
    texts = ["ab su su", "suç\nab b"]
    words = [f" {word}" for text in texts for word in text.split()]
    changed = [word for word in words if su.encode(word).tolist() != new.encode(word).tolist()]
    assert changed_words(su, new, texts) == len(changed) / len(words) == 2 / 6
    assert changed_words(su, su, texts) == 0


def test_a_vocabulary_with_holes_is_measured(tmp_path: Path, su: Tokenizer):
    file = json.loads(su.json)
    file["model"]["vocab"]["su"] = 300
    file["model"]["vocab"]["Ġsu"] = 301
    (tmp_path / "tokenizer.json").write_text(json.dumps(file))
    found = measure(Tokenizer.load(tmp_path), ["su su"])
    assert (found.vocab_size, found.tokens, found.vocabulary_used) == (302, 2, 2 / 302)
    assert found.longest_tokens[:2] == (" su", "su") and "" not in found.longest_tokens
