"""The page of `tezgah inspect --attention`: its weights are the model's, and no text can become markup."""

import base64
import hashlib
import re
import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.models.hugging_face import saved
from tezgah import cli
from tezgah.api import load
from tezgah.attention_page import SHADES, Attention, attention_page, numbers_of, picture_of, read_attention
from tezgah.errors import InputError
from tezgah.nn.trace import Trace
from tezgah.tokenizer.tokenizer import Tokenizer

HOSTILE = "<script>alert('1')</script> \"&amp;\" 🐈\n$hash ${x} \x1b[0m \u202e"


class Reader(HTMLParser):
    """The tags of a page, and the text of each kind up to its first end."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {"": [""]}
        self.inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.texts.setdefault(tag, []).append("")
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        self.texts[self.inside][-1] += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def held_numbers(page: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """The weights in a page's data."""
    data = re.search(r'id="weights">([^<]*)<', page)
    assert data is not None
    return np.frombuffer(base64.b64decode(data[1]), "<u2").reshape(shape) / 65_535


def drawn_shades(picture: bytes) -> NDArray[Any]:
    """The pixels of a PNG with a palette, (time, time)."""
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    at, chunks = 8, {}
    while at < len(picture):
        (length,) = struct.unpack(">I", picture[at : at + 4])
        kind, data = picture[at + 4 : at + 8], picture[at + 8 : at + 8 + length]
        assert struct.unpack(">I", picture[at + 8 + length : at + 12 + length]) == (zlib.crc32(kind + data),)
        chunks[kind], at = data, at + 12 + length
    width, height, depth, colours = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (width, depth, colours) == (height, 8, 3)
    assert len(chunks[b"tRNS"]) == SHADES
    return np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)[:, 1:]


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "bert, classification"])
def test_the_pages_weights_are_the_traces(name: str, tmp_path: Path) -> None:
    saved(name, tmp_path)
    Tokenizer.train(["the cat sat on the mat"], vocab_size=20, algorithm="characters").save(tmp_path)
    model, tokenizer = load(tmp_path)
    assert tokenizer is not None
    seen = read_attention("m", model, tokenizer, "a cat")
    trace = Trace()
    with torch.no_grad():
        model(torch.from_numpy(tokenizer.encode("a cat")).long()[None], trace=trace)
    expected = torch.cat(trace.attentions).numpy()
    np.testing.assert_array_equal(seen.weights, expected)
    page = attention_page(seen)
    np.testing.assert_allclose(held_numbers(page, expected.shape), expected, atol=0.5001 / 65_535)
    pictures = [image["src"] or "" for image in Reader(page).named("img")]
    assert len(pictures) == 2 * 4
    for picture, weights in zip(pictures, expected.reshape(8, 5, 5), strict=True):
        shades = drawn_shades(base64.b64decode(picture.removeprefix("data:image/png;base64,")))
        np.testing.assert_allclose((shades / (SHADES - 1)) ** 2, weights, atol=1.1 / SHADES)


def test_a_wordpiece_frames_the_text_as_its_own_rules_say(tmp_path: Path) -> None:
    saved("bert", tmp_path)
    Tokenizer.train(["su suda"], vocab_size=15, algorithm="wordpiece").save(tmp_path)
    model, tokenizer = load(tmp_path)
    assert tokenizer is not None
    seen = read_attention("m", model, tokenizer, "suda x su")
    assert seen.tokens == ("[CLS]", "suda", "[UNK]", "su", "[SEP]")
    assert seen.weights.shape == (2, 4, 5, 5)
    np.testing.assert_allclose(seen.weights.sum(-1), 1, rtol=1e-5)


def test_hostile_text_stays_text() -> None:
    tokens = (HOSTILE, "</li><img src=x onerror=alert(1)>", "'\"", "🐈", "\\n", "a" * 500)
    weights = np.full((1, 1, 6, 6), 1 / 6, np.float32)
    page = attention_page(Attention(f"m/{HOSTILE}", HOSTILE, tokens, weights))
    read = Reader(page)
    scripts = read.named("script")
    assert [script.get("type") for script in scripts] == ["application/octet-stream", None]
    assert all(tag not in page for tag in ("<script>alert", "<img src=x"))
    assert not any(name.startswith("on") for _, attributes in read.tags for name in attributes)
    assert all((image["src"] or "").startswith("data:image/png;base64,") for image in read.named("img"))
    assert [item["href"] for item in read.named("use")] == ["#columns", "#rows"]
    shown = HOSTILE.replace("\x1b", "␛")
    assert read.texts["pre"] == [shown]
    assert read.texts["li"] == [shown, *tokens[1:]]
    assert not re.search(r"https?:|url\(|@import|<link (?!rel=\"icon\" href=\"data:,\")", page)


def test_the_one_script_is_named_by_its_hash() -> None:
    page = attention_page(Attention("m", "a", ("a",), np.ones((1, 1, 1, 1), np.float32)))
    policy = next(each["content"] for each in Reader(page).named("meta") if "http-equiv" in each)
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"


def test_numbers_and_shades_end_where_weights_end() -> None:
    weights = np.array([[0.0, 1.0], [1.0000001, 0.5]], np.float32)
    assert np.frombuffer(numbers_of(weights), "<u2").tolist() == [0, 65_535, 65_535, 32_768]
    assert drawn_shades(picture_of(weights)).tolist() == [[0, SHADES - 1], [SHADES - 1, 45]]


def test_a_tokenizer_of_another_model_is_named(tmp_path: Path) -> None:
    saved("gpt2", tmp_path)
    Tokenizer.train(["a"], vocab_size=257).save(tmp_path)
    model, tokenizer = load(tmp_path)
    assert tokenizer is not None
    with pytest.raises(InputError, match=r"m: its tokenizer has the id .* and its model only 61 rows"):
        read_attention("m", model, tokenizer, "zz")
    with pytest.raises(InputError, match="has no tokens"):
        read_attention("m", model, tokenizer, "")


def test_a_page_has_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tezgah.attention_page.MOST_WEIGHTS", 8 * 4 * 4)
    saved("gpt2", tmp_path)
    Tokenizer.train(["abc"], vocab_size=20, algorithm="characters").save(tmp_path)
    model, tokenizer = load(tmp_path)
    assert tokenizer is not None
    assert len(read_attention("m", model, tokenizer, "abca").tokens) == 4
    with pytest.raises(InputError, match="5 tokens in 8 heads are 200 weights, too many for a page. Give a text of 4 "):
        read_attention("m", model, tokenizer, "abcab")


def test_the_verb_writes_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    saved("gpt2", tmp_path / "m")
    Tokenizer.train(["abc"], vocab_size=20, algorithm="characters").save(tmp_path / "m")
    assert cli.main(["inspect", "m", "--attention", "abc<>"]) == 0
    assert capsys.readouterr().out.split() == ["page", "attention.html", "layers", "2", "heads", "4", "tokens", "5"]
    assert "abc&lt;&gt;" in Path("attention.html").read_text()
