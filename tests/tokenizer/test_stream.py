"""Text of ids one by one, and special tokens where they are allowed, against the whole and the library."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from tezgah.errors import InputError
from tezgah.tokenizer.tokenizer import Tokenizer

FLAGS: dict[str, Any] = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
SPECIALS = ["<s>", "<s><s>", "</s>", "[a b]"]


@pytest.fixture(scope="module")
def byte_level() -> Tokenizer:
    return Tokenizer.train(["köy köy şişe 🙂 🙂 the the"], vocab_size=270)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    """Tokenizers whose text of an id depends on what is beside it."""
    folder = tmp_path_factory.mktemp("others")
    words = {"[UNK]": 0, "[SEP]": 1, "[CLS]": 2, "su": 3, "##lar": 4, "n": 5, "'": 6, "t": 7, ".": 8}
    tokenizers.BertWordPieceTokenizer(vocab=words).save(str(folder / "wordpiece.json"))
    vocab = {"<unk>": 0, "</s>": 1, "▁": 2, "a": 3, "▁a": 4} | {f"<0x{byte:02X}>": 5 + byte for byte in range(256)}
    fallback = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, [("▁", "a")], byte_fallback=True, unk_token="<unk>"))
    decoders = tokenizers.decoders
    fallback.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    fallback.save(str(folder / "fallback.json"))
    metaspace = tokenizers.Tokenizer(tokenizers.models.WordLevel({"</s>": 0, "▁su": 1, "lar": 2, "▁": 3}, "</s>"))
    metaspace.decoder = decoders.Metaspace()
    metaspace.save(str(folder / "metaspace.json"))
    return {path.stem: Tokenizer.load(path) for path in folder.iterdir()}


@given(ids=st.lists(st.integers(0, 269), max_size=30))
def test_the_pieces_of_any_bytes_are_the_whole(byte_level: Tokenizer, ids: list[int]):
    assert "".join(byte_level.decode_stream(ids)) == byte_level.decode(ids)


@given(text=st.text(st.sampled_from("köyş🙂é漢 \n"), max_size=20))
def test_the_pieces_of_text_are_whole_characters(byte_level: Tokenizer, text: str):
    pieces = list(byte_level.decode_stream(iter(byte_level.encode(text))))
    assert "".join(pieces) == text
    assert "\ufffd" not in "".join(pieces)
    assert "" not in pieces


@pytest.mark.parametrize("name", ["wordpiece", "fallback", "metaspace"])
@given(data=st.data())
def test_the_pieces_of_other_kinds_are_the_whole(others: dict[str, Tokenizer], name: str, data: st.DataObject):
    tokenizer = others[name]
    bytes_of_a_euro = [5 + byte for byte in "€".encode()]
    some = st.integers(0, min(tokenizer.vocab_size, 9) - 1).map(lambda each: [each])
    runs = data.draw(st.lists(st.one_of(some, st.just(bytes_of_a_euro[:3]), st.just(bytes_of_a_euro[:1])), max_size=12))
    ids = [each for run in runs for each in run if each < tokenizer.vocab_size]
    assert "".join(tokenizer.decode_stream(ids)) == tokenizer.decode(ids)


def test_a_piece_comes_as_soon_as_it_is_whole(byte_level: Tokenizer):
    given_so_far = []

    def ids():
        for each in byte_level.encode("aé"):
            given_so_far.append(each)
            yield each

    stream = byte_level.decode_stream(ids())
    assert (next(stream), len(given_so_far)) == ("a", 1)
    assert (next(stream), len(given_so_far)) == ("é", 3)
    with pytest.raises(InputError, match="id 270 is not in the vocabulary"):
        list(byte_level.decode_stream([1, 270]))


def with_specials(tokenizer: Tokenizer, folder: Path, **rules: Any) -> Tokenizer:
    file = json.loads(tokenizer.json)
    for place, content in enumerate(SPECIALS):
        file["added_tokens"].append({"id": 270 + place, "content": content, **FLAGS, **rules})
    (folder / "tokenizer.json").write_text(json.dumps(file))
    return Tokenizer.load(folder)


@pytest.fixture(scope="module")
def marked(byte_level: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return with_specials(byte_level, tmp_path_factory.mktemp("marked"))


spelled = st.lists(st.sampled_from([*SPECIALS, "<|endoftext|>", "<s", ">", " ", "köy", "a", "[a", "🙂"]), max_size=9)


@given(rows=st.lists(spelled.map("".join), max_size=4))
def test_special_tokens_are_found_where_they_are_allowed_and_nowhere_else(marked: Tokenizer, rows: list[str]):
    theirs = tokenizers.Tokenizer.from_str(marked.json)
    for allow_special in (True, False):
        theirs.encode_special_tokens = not allow_special
        ids, offsets = marked.encode_batch(rows, allow_special=allow_special)
        found = [ids[begin:end].tolist() for begin, end in itertools.pairwise(offsets)]
        assert found == [theirs.encode(row, add_special_tokens=False).ids for row in rows]
        assert [marked.encode(row, allow_special=allow_special).tolist() for row in rows] == found
    if not any(special in row for special in (*SPECIALS, "<|endoftext|>") for row in rows):
        assert marked.encode_batch(rows)[0].tolist() == marked.encode_batch(rows, allow_special=True)[0].tolist()


@given(row=spelled.map("".join))
def test_special_tokens_with_rules_of_their_own_are_left_to_the_library(
    byte_level: Tokenizer, row: str, tmp_path_factory: pytest.TempPathFactory
):
    tokenizer = with_specials(byte_level, tmp_path_factory.getbasetemp(), lstrip=True)
    theirs = tokenizers.Tokenizer.from_str(tokenizer.json)
    assert tokenizer.encode(row, allow_special=True).tolist() == theirs.encode(row, add_special_tokens=False).ids


def test_the_separator_is_allowed_with_the_others(byte_level: Tokenizer):
    ids = byte_level.encode("a<|endoftext|>", allow_special=True)
    assert ids.tolist() == [*byte_level.encode("a"), 0]
    assert byte_level.decode(ids) == "a<|endoftext|>"
    assert 0 not in byte_level.encode("a<|endoftext|>")
