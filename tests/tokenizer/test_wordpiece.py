"""WordPiece vocabularies and ids against Hugging Face `tokenizers`, and against themselves."""

import itertools
import json
import random
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tokenizer.engine_texts import buffers
from tezgah.errors import InputError
from tezgah.tokenizer.count import Words, count_texts
from tezgah.tokenizer.encode import WordEncoder
from tezgah.tokenizer.engine import Encoder
from tezgah.tokenizer.learn import Method, learn
from tezgah.tokenizer.texts import utf8
from tezgah.tokenizer.tokenizer import Tokenizer
from tezgah.tokenizer.wordpiece import SPECIAL_TOKENS, train_wordpiece

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "text"
CORPUS = ["Ali'den gelen ışıklı treni; geldi, gelmiş, gelecek! (def f(x): return x)", "trenler trende, ışıkta"] * 4


def words_of(texts: list[str], threads: int = 1) -> Words:
    return count_texts([buffers([text]) for text in texts], "bert", threads)


def theirs(texts: list[str], vocab_size: int, symbols: list[str], min_frequency: int) -> dict[str, int]:
    """The library's vocabulary, told the order of the symbols, which it would else take from a hash table.

    Symbols given as special tokens get their ids in order; a limit of one character keeps others out.
    """
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=[*SPECIAL_TOKENS, *symbols],
        initial_alphabet=symbols[:1],
        limit_alphabet=1,
        continuing_subword_prefix="##",
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    found: dict[str, int] = json.loads(tokenizer.to_str())["model"]["vocab"]
    return found


def symbols_of(texts: list[str], limit: int | None) -> list[str]:
    """Special tokens aside, what stands before the merges: characters, then ## and the characters inside words."""
    words = [
        piece for text in texts for piece, _ in tokenizers.pre_tokenizers.BertPreTokenizer().pre_tokenize_str(text)
    ]
    together = "".join(words)
    alphabet = sorted(sorted(set(together), key=lambda character: (-together.count(character), character))[:limit])
    inside = set("".join(word[1:] for word in words))
    return [*alphabet, *(f"##{character}" for character in alphabet if character in inside)]


def test_the_vocabulary_is_that_of_the_library_on_three_hundred_awkward_corpora():
    chance = random.Random(11)
    for _ in range(300):
        letters = chance.choice(["ab ", "abc  ", "ab'c# 1", "ığü a", "abcdefgh "])
        texts = ["".join(chance.choices(letters, k=chance.randint(1, 150))) for _ in range(chance.randint(1, 5))]
        limit = chance.choice([None, None, 2, 3])
        min_frequency = chance.choice([0, 0, 2, 3])
        symbols = symbols_of(texts, limit)
        if not symbols:
            continue
        vocab_size = 5 + len(symbols) + chance.randint(0, 60)
        ours = train_wordpiece(words_of(texts), vocab_size, min_frequency, limit)
        assert ours == theirs(texts, vocab_size, symbols, min_frequency), texts


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared test data is not here")
def test_the_vocabulary_and_ids_are_those_of_the_library_on_real_text():
    lines = (DATA / "tr" / "python_docs_tr.txt").read_text("utf-8").split("\n")
    ours = train_wordpiece(words_of(lines), 3_000)
    assert ours == theirs(lines, 3_000, symbols_of(lines, None), 0)
    tokenizer = Tokenizer.train(lines, vocab_size=3_000, algorithm="wordpiece")
    library = tokenizers.Tokenizer.from_str(tokenizer.json)
    others = (DATA / "tr" / "ud_tr.txt").read_text("utf-8").split("\n")[:2_000]
    assert tokenizer.encode_batch(others)[0].tolist() == [
        each for row in library.encode_batch(others, add_special_tokens=False) for each in row.ids
    ]


def test_the_vocabulary_is_the_same_in_every_run_and_for_any_number_of_threads():
    chance = random.Random(4)
    texts = ["".join(chance.choices("abcdeğış ,", k=400)) for _ in range(40)]
    found = set()
    for threads in (1, 2, 8, 1, 2):
        chance.shuffle(texts)
        found.add(json.dumps(train_wordpiece(words_of(texts, threads), 300)))
    assert len(found) == 1


def test_a_limited_alphabet_keeps_the_most_frequent_characters_ties_by_code_point():
    vocab = train_wordpiece(words_of(["ba ba dc"]), 10, limit_alphabet=3)
    assert list(vocab)[5:] == ["a", "b", "c", "##a", "##c"]


@pytest.fixture(scope="module")
def trained() -> Tokenizer:
    return Tokenizer.train(CORPUS, vocab_size=80, algorithm="wordpiece")


spelled = st.lists(st.one_of(st.text("geltrnışAi'(), \n"), st.text(max_size=20), st.sampled_from(CORPUS)), max_size=5)


@settings(max_examples=300)
@given(rows=spelled)
def test_ids_are_those_of_the_library(trained: Tokenizer, rows: list[str]):
    library = tokenizers.Tokenizer.from_str(trained.json)
    library.encode_special_tokens = True
    assert isinstance(trained._encoder._ours, WordEncoder)
    ids, ends = trained.encode_batch(rows)
    found = [ids[begin:end].tolist() for begin, end in itertools.pairwise(ends)]
    assert found == [library.encode(row, add_special_tokens=False).ids for row in rows]


@pytest.mark.parametrize("length", [99, 100, 101, 127, 129, 500])
@pytest.mark.parametrize("letter", ["e", "ı"])
def test_a_word_of_more_than_a_hundred_characters_is_unknown(trained: Tokenizer, letter: str, length: int):
    library = tokenizers.Tokenizer.from_str(trained.json)
    expected = library.encode(letter * length, add_special_tokens=False).ids
    for _ in range(2):
        assert trained.encode(letter * length).tolist() == expected
    assert (expected == [1]) == (length > 100)


def test_what_no_tokens_make_up_is_unknown_as_a_whole(trained: Tokenizer):
    assert trained.decode(trained.encode("gelen Q gelenQ,")) == "gelen [UNK] [UNK],"


def test_a_vocabulary_of_another_maker_is_read_too():
    theirs = tokenizers.BertWordPieceTokenizer(vocab={"[UNK]": 9, "[SEP]": 1, "[CLS]": 2, "su": 3, "##lar": 4})
    encoder = Encoder(theirs.to_str(), threads=1)
    ids, _ = encoder.encode(*buffers(["SU sular sul"]))
    assert encoder._ours is not None
    assert ids.tolist() == theirs.encode("SU sular sul", add_special_tokens=False).ids == [3, 3, 4, 9]


def test_rules_that_are_not_berts_are_left_to_the_library(trained: Tokenizer):
    file = json.loads(trained.json)
    file["model"]["max_input_chars_per_word"] = 50
    assert Encoder(json.dumps(file), threads=1)._ours is None
    file = json.loads(trained.json) | {"pre_tokenizer": {"type": "Whitespace"}}
    assert Encoder(json.dumps(file), threads=1)._ours is None


def test_a_text_and_a_pair_are_framed_for_bert_by_other_readers(trained: Tokenizer):
    library = tokenizers.Tokenizer.from_str(trained.json)
    pair = library.encode("gelen", "tren")
    assert pair.tokens[0] == "[CLS]"
    assert pair.tokens.count("[SEP]") == 2
    assert set(pair.type_ids) == {0, 1}
    assert trained.separator == "[SEP]"
    assert trained.separator_id not in trained.encode("a [SEP] b")


def test_a_vocabulary_without_room_for_the_alphabet_is_refused():
    with pytest.raises(InputError, match=r"vocab_size: 9 is too small: 5 special .* alphabet of 5 symbols take 10\."):
        train_wordpiece(words_of(["abc"]), 9)
    assert len(train_wordpiece(words_of(["abc"]), 10)) == 10


@pytest.mark.parametrize("texts", [[], [""], [" \n\t"]])
def test_texts_without_a_word_are_refused(texts: list[str]):
    with pytest.raises(InputError, match="training texts are empty"):
        learn(utf8(texts), 100, Method("gpt2", "wordpiece"))


def test_a_vocabulary_that_the_texts_do_not_give_is_refused():
    with pytest.raises(InputError, match=r"vocab_size: 100 cannot be reached.* 12 ids"):
        Tokenizer.train(["abc"], vocab_size=100, algorithm="wordpiece")


def test_counts_beyond_32_bits_decide_as_they_are():
    arena, starts = buffers(["ab", "cd"])
    vocab = train_wordpiece(Words(arena, starts, np.array([(1 << 31) + 1, 1 << 32])), 12)
    assert list(vocab)[-2:] == ["##d", "cd"]
