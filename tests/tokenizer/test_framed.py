"""Frames of texts: the file's own, BERT's, or a separator between two."""

import json

import pytest
import tokenizers

from tezgah.errors import InputError
from tezgah.tokenizer.framed import frame, framed_json, padding_id
from tezgah.tokenizer.tokenizer import Tokenizer

TEXTS = ["su suda [SEP] su", "bir kedi"]
BPE = Tokenizer.train(TEXTS, vocab_size=262)
WORDPIECE = Tokenizer.train(TEXTS, vocab_size=35, algorithm="wordpiece")
SEPARATOR = "<|endoftext|>"


def test_an_encoders_own_frame_stays_and_no_text_spells_a_special_token() -> None:
    text = framed_json(WORDPIECE.json, None, is_causal=False)
    assert json.loads(text)["post_processor"] == json.loads(WORDPIECE.json)["post_processor"]
    rows = frame(text, TEXTS, TEXTS[::-1], longest=99)
    bare = [WORDPIECE.encode(each).tolist() for each in TEXTS]
    assert rows.ids[0] == [2, *bare[0], 3, *bare[1], 3]
    assert rows.types[0] == [0] * (len(bare[0]) + 2) + [1] * (len(bare[1]) + 1)
    assert rows.ids[0].count(3) == 2 and not rows.is_cut.any()
    assert rows.lengths.tolist() == [len(ids) for ids in rows.ids]


def test_a_causal_model_gets_a_separator_between_two_texts_alone() -> None:
    text = framed_json(BPE.json, BPE.separator, is_causal=True)
    bare = [BPE.encode(each).tolist() for each in TEXTS]
    assert frame(text, TEXTS, None, 99).ids == bare
    assert frame(text, TEXTS[:1], TEXTS[1:], 99).ids == [[*bare[0], BPE.separator_id, *bare[1]]]
    assert framed_json(text, BPE.separator, is_causal=True) == text
    without = framed_json(BPE.json, None, is_causal=True)
    assert frame(without, TEXTS[:1], TEXTS[1:], 99).ids == [bare[0] + bare[1]]


def test_a_bpe_with_berts_tokens_gets_berts_frame() -> None:
    file = json.loads(BPE.json)
    special = file["added_tokens"][0]
    for number, name in enumerate(("[CLS]", "[SEP]")):
        file["added_tokens"].append(special | {"id": BPE.vocab_size + number, "content": name})
    text = framed_json(json.dumps(file), None, is_causal=False)
    bare, (cls, sep) = BPE.encode("bir").tolist(), (BPE.vocab_size, BPE.vocab_size + 1)
    assert frame(text, ["bir"], None, 99).ids == [[cls, *bare, sep]]
    pair = frame(text, ["bir"], ["bir"], 99)
    assert pair.ids == [[cls, *bare, sep, *bare, sep]]
    assert pair.types == [[0] * (len(bare) + 2) + [1] * (len(bare) + 1)]
    with pytest.raises(InputError, match=r"has no \[CLS\] and no \[SEP\]"):
        framed_json(BPE.json, None, is_causal=False)


def test_longer_texts_keep_their_beginning_and_of_a_pair_the_longer_is_cut() -> None:
    rows = frame(WORDPIECE.json, ["su " * 30, "su"], None, longest=8)
    whole = frame(WORDPIECE.json, ["su " * 30, "su"], None, longest=99)
    assert rows.ids[0] == [*whole.ids[0][:7], 3] and rows.ids[1] == whole.ids[1]
    assert rows.is_cut.tolist() == [True, False]
    pair = frame(WORDPIECE.json, ["su " * 30], ["kedi"], longest=12)
    second = WORDPIECE.encode("kedi").tolist()
    assert len(pair.ids[0]) == 12 and pair.ids[0][-len(second) - 1 : -1] == second


def test_padding_is_the_padding_tokens_or_the_separators() -> None:
    assert padding_id(WORDPIECE.json, None) == tokenizers.Tokenizer.from_str(WORDPIECE.json).token_to_id("[PAD]") == 0
    assert padding_id(BPE.json, SEPARATOR) == BPE.separator_id
    assert padding_id(BPE.json, None) is None
