"""Tokenizers with the tokens of filling in the middle; those without stay what they were."""

from pathlib import Path

import pytest
import transformers

from tezgah.errors import InputError
from tezgah.tokenizer.artefact import INFILL
from tezgah.tokenizer.infill import infill_tokens
from tezgah.tokenizer.learn import Method, check_size
from tezgah.tokenizer.settings import Algorithm, Split
from tezgah.tokenizer.tokenizer import Tokenizer

TEXTS = ["def area(width, height):\n    return width * height", "a <|fim_prefix|> b <|fim_middle|>" * 9] * 4
SIZES: dict[Algorithm, int] = {"bpe": 290, "unigram": 264, "characters": 50, "bytes": 260, "wordpiece": 70}


@pytest.mark.parametrize("algorithm", SIZES)
def test_they_come_behind_all_that_is_learned_and_no_text_spells_them(algorithm: Algorithm, tmp_path: Path) -> None:
    split: Split = "gpt2" if algorithm == "unigram" else "whitespace"  # the others learn no word that spells them
    tokenizer = Tokenizer.train(TEXTS, SIZES[algorithm], split, algorithm, infill=True)
    size = tokenizer.vocab_size
    assert size <= SIZES[algorithm]
    assert infill_tokens(tokenizer) == (size - 3, size - 2, size - 1)
    assert tokenizer.encode(TEXTS[1]).max() < size - 3
    tokenizer.save(tmp_path)
    assert Tokenizer.load(tmp_path).json == tokenizer.json
    assert Tokenizer.load(tmp_path).separator == tokenizer.separator
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert theirs.convert_tokens_to_ids(list(INFILL)) == [size - 3, size - 2, size - 1]
    assert len(theirs) == size


def test_what_is_learned_is_the_same_beside_them() -> None:
    texts = TEXTS[::2]
    plain, infilling = Tokenizer.train(texts, 280), Tokenizer.train(texts, 283, infill=True)
    assert infill_tokens(plain) is None
    assert infilling.encode(texts[0]).tolist() == plain.encode(texts[0]).tolist()
    both = Tokenizer.train(texts, 285, mask=True, infill=True)
    assert infill_tokens(both) == (282, 283, 284)
    assert infill_tokens(both.extend(texts, add=2)) == (282, 283, 284)


def test_the_smallest_vocabulary_has_room_for_them() -> None:
    with pytest.raises(InputError, match="and the 256 bytes take 260"):
        check_size(259, Method("gpt2", infill=True))
    check_size(260, Method("gpt2", infill=True))
