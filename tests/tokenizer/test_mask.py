"""Tokenizers with [MASK] and [PAD], as `transformers` opens them; those without stay what they were."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import transformers

from tezgah.errors import InputError
from tezgah.tokenizer.learn import Method, check_size
from tezgah.tokenizer.mask import frame, mask_token, special_ids
from tezgah.tokenizer.settings import Algorithm, Split
from tezgah.tokenizer.tokenizer import Tokenizer

TEXTS = ["Ali'den gelen ışıklı tren; geldi, gelmiş, gelecek!", "trenler trende, [MASK] ışıkta [PAD]"] * 4
SIZES: dict[Algorithm, int] = {"bpe": 290, "unigram": 265, "characters": 40, "bytes": 259, "wordpiece": 65}


@pytest.mark.parametrize("algorithm", SIZES)
def test_transformers_has_the_roles_and_the_frame(algorithm: Algorithm, tmp_path: Path):
    tokenizer = Tokenizer.train(TEXTS, SIZES[algorithm], algorithm=algorithm, mask=True)
    tokenizer.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    is_bert = algorithm == "wordpiece"
    assert (theirs.mask_token, theirs.pad_token) == ("[MASK]", "[PAD]")
    assert (theirs.cls_token, theirs.sep_token) == (("[CLS]", "[SEP]") if is_bert else ("<|endoftext|>",) * 2)
    assert len(theirs) == tokenizer.vocab_size <= SIZES[algorithm]
    before, after = frame(tokenizer)
    text = "gelen trenler"
    assert theirs(text)["input_ids"] == [*before, *tokenizer.encode(text).tolist(), *after]
    assert (before, after) == (([2], [3]) if is_bert else ([tokenizer.separator_id], [tokenizer.separator_id]))
    mask = mask_token(tokenizer)
    assert mask.id == theirs.mask_token_id and mask.lstrip == (not is_bert)
    framed = theirs("gelen [MASK] tren")["input_ids"][len(before) : -len(after)]
    assert framed == [*tokenizer.encode("gelen"), mask.id, *tokenizer.encode(" tren")]
    assert set(np.flatnonzero(special_ids(tokenizer))) == set(theirs.all_special_ids)
    assert is_bert or "token_type_ids" not in theirs(text)


@pytest.mark.parametrize("algorithm", SIZES)
def test_no_text_spells_them_and_loading_changes_nothing(algorithm: Algorithm, tmp_path: Path):
    split: Split = "gpt2" if algorithm == "unigram" else "whitespace"  # the others learn no word that spells them
    tokenizer = Tokenizer.train(TEXTS, SIZES[algorithm], split, algorithm, mask=True)
    special = special_ids(tokenizer)
    special[parse_unknown(tokenizer)] = False
    assert not special[tokenizer.encode("bir [MASK] [PAD] iki [MASK]")].any()
    tokenizer.save(tmp_path)
    assert Tokenizer.load(tmp_path).json == tokenizer.json
    assert Tokenizer.load(tmp_path).separator == tokenizer.separator


def parse_unknown(tokenizer: Tokenizer) -> list[int]:
    return [token["id"] for token in json.loads(tokenizer.json)["added_tokens"] if "UNK" in token["content"].upper()]


def test_a_causal_tokenizer_stays_what_it_was(tmp_path: Path):
    plain = Tokenizer.train(TEXTS, 290)
    masked = Tokenizer.train(TEXTS[::2], 282, mask=True)
    assert hashlib.sha256(plain.json.encode()).hexdigest() == plain.hash == BEFORE
    with pytest.raises(InputError, match=r"has no \[MASK\]"):
        mask_token(plain)
    plain.save(tmp_path)
    assert json.loads((tmp_path / "tokenizer_config.json").read_text()) == {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|endoftext|>",
        "eos_token": "<|endoftext|>",
        "clean_up_tokenization_spaces": False,
    }
    learned = Tokenizer.train(TEXTS[::2], 280)
    text = "gelen ışıklı trenler"
    assert masked.encode(text).tolist() == learned.encode(text).tolist(), "the two come behind all that is learned"
    assert frame(plain) == ([], [])


BEFORE = "494b6e20dbbd9fdbf84b2daacb5403a0e0b25249a43b65855f90bfacefc561c2"


def test_it_can_be_extended_and_keeps_its_mask():
    tokenizer = Tokenizer.train(TEXTS, 280, mask=True)
    more = tokenizer.extend(TEXTS, add=5)
    assert more.vocab_size == 285 and mask_token(more) == mask_token(tokenizer) and frame(more) == frame(tokenizer)


def test_the_smallest_vocabulary_has_room_for_them():
    with pytest.raises(InputError, match="and the 256 bytes take 259"):
        check_size(258, Method("gpt2", mask=True))
    check_size(259, Method("gpt2", mask=True))
