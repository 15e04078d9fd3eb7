"""What is told of a text is what the library does with it, whatever the kind of tokenizer."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from tezgah import cli
from tezgah.errors import InputError
from tezgah.tokenizer.explain import Explanation, explain
from tezgah.tokenizer.settings import Split
from tezgah.tokenizer.tokenizer import Tokenizer

PROSE = "Ankara'nın köyleri, evlerin evleri; Mert'in evi. the cat's 12 hats\n" * 4
LETTERS = sorted({character for character in PROSE.lower() if character.isalpha()})
DATA = Path(__file__).parents[2].parent / "shared" / "data" / "text" / "tokenizers"

texts = st.one_of(
    st.text(st.sampled_from(list("Ankarivle'nıköy tsMrTĞ🙂 \n[]<>|_▁12")), max_size=24),
    st.text(max_size=8),
)


def byte_level() -> tokenizers.Tokenizer:
    library = tokenizers.Tokenizer.from_str(Tokenizer.train([PROSE], vocab_size=296, split="turkish-safe").json)
    library.add_tokens([tokenizers.AddedToken("  ", normalized=True), tokenizers.AddedToken("é|", normalized=False)])
    return library


def characters() -> tokenizers.Tokenizer:
    """A BPE over characters, with an unknown token instead of bytes."""
    library = tokenizers.Tokenizer(models.BPE(unk_token="[UNK]", fuse_unk=True))
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    library.train_from_iterator([PROSE], trainers.BpeTrainer(vocab_size=80, special_tokens=["[UNK]"]))
    return library


def bytes_to_fall_back_to() -> tokenizers.Tokenizer:
    """A BPE as of Llama 2: no pre-tokenizer, a space is ▁, other characters are bytes."""
    pairs = [("e", "v"), ("▁", "ev"), ("l", "e"), ("▁ev", "le")]
    names = ["<unk>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *LETTERS, *map("".join, pairs)]
    vocab = {name: token_id for token_id, name in enumerate(names)}
    library = tokenizers.Tokenizer(models.BPE(vocab, pairs, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    library.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return library


def word_ends() -> tokenizers.Tokenizer:
    """A BPE whose words end in a mark, as in CLIP."""
    library = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    library.normalizer = normalizers.Lowercase()
    library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(vocab_size=90, special_tokens=["<unk>"], end_of_word_suffix="</w>")
    library.train_from_iterator([PROSE], trainer)
    return library


def word_piece() -> tokenizers.Tokenizer:
    names = ["[UNK]", "[CLS]", "[SEP]", "ev", "##ler", "##i", "köy", "mert", "'", "in", *LETTERS[:9]]
    library = tokenizers.Tokenizer(models.WordPiece({name: n for n, name in enumerate(names)}, unk_token="[UNK]"))
    library.normalizer = normalizers.BertNormalizer(strip_accents=False)
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    library.decoder = decoders.WordPiece()
    library.add_special_tokens(["[UNK]", "[CLS]", "[SEP]"])
    library.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return library


def unigram() -> tokenizers.Tokenizer:
    """A Unigram with an added token, after which Metaspace sets no ▁ before the first word."""
    pieces = [("<unk>", 0.0), ("▁", -3.0), ("▁ev", -2.0), ("ler", -2.5), ("i", -3.0), *((x, -4.0) for x in LETTERS)]
    library = tokenizers.Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=False))
    library.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    library.decoder = decoders.Metaspace(prepend_scheme="first")
    library.add_tokens(["[MASK]"])
    return library


KINDS = [byte_level, characters, bytes_to_fall_back_to, word_ends, word_piece, unigram]


def ids_of(told: Explanation) -> list[int]:
    return [token.id for piece in told.pieces for token in piece.tokens]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_tokens_are_those_of_the_library(kind: Callable[[], tokenizers.Tokenizer]):
    file = kind().to_str()
    library = tokenizers.Tokenizer.from_str(file)
    library.encode_special_tokens = True

    def same(text: str):
        told = explain(file, text)
        assert ids_of(told) == library.encode(text, add_special_tokens=False).ids
        assert [token.id for token in told.processed] == library.encode(text).ids

    for text in (PROSE, "", "x  y é|", "evi [MASK] evler [MASK]evi", "[UNK] [SEP]"):
        same(text)
    given(text=texts)(settings(max_examples=150)(same))()


@pytest.mark.parametrize("kind", KINDS[:4], ids=lambda kind: kind.__name__)
def test_merges_go_from_characters_to_tokens_one_at_a_time(kind: Callable[[], tokenizers.Tokenizer]):
    told = explain(kind().to_str(), "evlerin Ğ köyleri")
    assert any(len(piece.merges) > 2 for piece in told.pieces)
    for piece in told.pieces:
        assert piece.merges[-1] == tuple(token.text for token in piece.tokens)
        assert [len(step) for step in piece.merges] == list(range(len(piece.merges[0]), len(piece.tokens) - 1, -1))


def test_the_merges_of_a_word_can_be_followed():
    told = explain(Tokenizer.train(["Mert Mert Mert"], vocab_size=261).json, "Mert  Mert")
    assert told.pieces[2].merges == (
        ("␣", "M", "e", "r", "t"),
        ("␣", "Me", "r", "t"),  # of pairs as frequent the one of smaller ids
        ("␣", "Me", "rt"),
        ("␣", "Mert"),
        ("␣Mert",),
    )
    assert [piece.text for piece in told.pieces] == ["Mert", "␣", "␣Mert"]


def test_a_piece_that_the_vocabulary_lacks_is_told_unknown():
    told = explain(characters().to_str(), "evi ĞĞx")
    assert told.pieces[1].text == "ĞĞx"
    assert [(token.name, token.is_unknown) for token in told.pieces[1].tokens] == [("[UNK]", True)]
    assert told.pieces[1].merges == (("[UNK]",),)  # fused from the start
    assert not any(token.is_unknown for token in told.pieces[0].tokens)


def test_a_character_that_the_vocabulary_lacks_becomes_bytes():
    told = explain(bytes_to_fall_back_to().to_str(), "ev Ğ")
    assert told.pieces[0].merges == (
        ("▁", "e", "v", "▁", "<0xC4>", "<0x9E>"),
        ("▁", "ev", "▁", "<0xC4>", "<0x9E>"),
        ("▁ev", "▁", "<0xC4>", "<0x9E>"),
    )


def test_normalizer_and_post_processor_are_told():
    told = explain(word_piece().to_str(), "Evleri")
    assert (told.text, told.normalized) == ("Evleri", "evleri")
    assert [token.name for token in told.pieces[0].tokens] == ["ev", "##ler", "##i"]
    assert [token.name for token in told.processed] == ["[CLS]", "ev", "##ler", "##i", "[SEP]"]


def test_added_tokens_are_found_before_cutting():
    told = explain(byte_level().to_str(), "ev  evé|")
    assert [(piece.text, piece.is_added) for piece in told.pieces] == [
        *(("ev", False), ("␣␣", True), ("ev", False), ("é|", True)),
    ]
    assert [token.text for piece in told.pieces if piece.is_added for token in piece.tokens] == ["␣␣", "é|"]


def test_where_a_rule_depends_on_the_beginning_pieces_are_spelled_as_in_the_text():
    told = explain(unigram().to_str(), "evi [MASK]evi")  # Metaspace sets ▁ before the first word alone
    assert [(piece.text, piece.is_added) for piece in told.pieces] == [
        *(("evi", False), ("␣", False), ("[MASK]", True), ("evi", False)),
    ]
    assert [token.name for token in told.pieces[0].tokens] == ["▁ev", "i"]
    assert [token.name for token in told.pieces[3].tokens] == ["e", "v", "i"]


def test_a_word_that_is_an_entry_is_taken_whole_where_the_file_says_so():
    file = json.loads(Tokenizer.train(["ab ab"], vocab_size=259).json)
    file["model"] |= {"ignore_merges": True}
    file["model"]["vocab"]["ba"] = 259
    told = explain(json.dumps(file), "ba ab")
    assert [piece.merges for piece in told.pieces] == [(("ba",),), (("␣ab",),)]


def test_merges_of_very_long_pieces_are_left_out():
    told = explain(Tokenizer.train(["aa"], vocab_size=258).json, "a" * 201)
    assert len(told.pieces[0].tokens) == 101 and told.pieces[0].merges == ()


@pytest.mark.parametrize("split", ["gpt2", "o200k", "digits"])
def test_ids_are_those_of_encoding(split: Split):
    tokenizer = Tokenizer.train([PROSE], vocab_size=290, split=split)
    assert ids_of(explain(tokenizer.json, PROSE)) == tokenizer.encode(PROSE).tolist()


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared test data is not here")
@pytest.mark.parametrize("name", ["gpt-neox-20b.json", "gpt2"])
def test_ids_are_those_of_encoding_with_tokenizers_of_others(name: str):
    tokenizer = Tokenizer.load(DATA / name)
    text = "def f(x):\n        return  x   # Ankara'nın     e\u0301|||IP_ADDRESS|||\n"
    told = explain(tokenizer.json, text)
    assert ids_of(told) == tokenizer.encode(text).tolist()
    assert any(piece.is_added for piece in told.pieces) == (name == "gpt-neox-20b.json")


def test_a_lone_surrogate_is_refused():
    with pytest.raises(InputError, match=r"'a\\udce9': not valid Unicode text"):
        explain(Tokenizer.train([], vocab_size=257).json, "a\udce9")


def told(folder: Path, text: str, capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    assert cli.main(["tokenizer", "explain", str(folder), text, *flags]) == 0
    return capsys.readouterr().out


def test_the_verb_shows_each_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    Tokenizer.train(["Mert Mert Mert"], vocab_size=260).save(tmp_path)
    ids = Tokenizer.load(tmp_path).encode("Mert ğ").tolist()
    assert told(tmp_path, "Mert ğ", capsys) == (
        "normalized  as it is\n"
        "pieces      Mert | ␣ğ\n"
        "\n"
        "Mert\n"
        "  merges  M e r t → Me r t → Me rt → Mert\n"
        f"  tokens  Mert ({ids[0]})\n"
        "␣ğ\n"
        f"  tokens  ␣ ({ids[1]})  \\xc4 ({ids[2]})  \\x9f ({ids[3]})\n"
        "\n"
        f"ids         {' '.join(map(str, ids))}\n"
    )


def test_the_verb_shows_the_unknown_and_what_the_post_processor_adds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    word_piece().save(str(tmp_path / "tokenizer.json"))
    shown = told(tmp_path, "Evler zz", capsys).split("\n")
    assert shown[0] == "normalized  evler␣zz"
    assert shown[-8:] == [
        *("evler", "  tokens  ev (3)  ##ler (4)", "zz", "  tokens  [UNK] (0, unknown)", ""),
        *("ids         3 4 0", "processed   [CLS] (1)  ev (3)  ##ler (4)  [UNK] (0, unknown)  [SEP] (2)", ""),
    ]
    value: dict[str, Any] = json.loads(told(tmp_path, "Evler zz", capsys, "--json"))
    assert value["pieces"][1] == {
        "text": "zz",
        "tokens": [{"id": 0, "name": "[UNK]", "text": "[UNK]", "is_unknown": True}],
        "merges": [],
        "is_added": False,
    }


def test_the_verb_refuses_what_is_no_tokenizer(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["tokenizer", "explain", str(tmp_path), "su"]) == 2
    assert capsys.readouterr().err.startswith(f"tezgah: {tmp_path}: holds no tokenizer.")
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "BPE", "vocab": {"<|endoftext|>": 0}}}')
    assert cli.main(["tokenizer", "explain", str(tmp_path), "su"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"tezgah: {tmp_path}: not a usable tokenizer (") and err.count("\n") == 1
