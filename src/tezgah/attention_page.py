"""`tezgah inspect MODEL --attention TEXT`: every head's attention weights in a text, as one page.

The page stands alone: its maps are pictures inside it, nothing is fetched. Its one script, which shows the numbers of
a row under the pointer, is named to the browser by its hash, so that no other can run; without it the maps and
their labels are there all the same. Text is escaped on the way in.
"""

import base64
import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tezgah.errors import InputError
from tezgah.files import write_text
from tezgah.nn.modes import evaluating
from tezgah.nn.trace import Trace
from tezgah.tokenizer.explain import explain
from tezgah.training.markdown import escape

if TYPE_CHECKING:
    from tezgah.tokenizer.tokenizer import Tokenizer

MOST_WEIGHTS = 6_000_000  # on a page: about 20 MB
LONGEST_LABEL = 12  # characters of a token beside a map
INK = bytes((12, 74, 128))  # of a weight of 1; a smaller one lets the page through
SHADES = 64
CELL, LETTER = 20, 8  # of a map and its labels, in units of their drawing


@dataclass(frozen=True)
class Attention:
    """What a model's heads look at in a text: `weights` are (layers, heads, time, time), each row sums to 1."""

    name: str
    text: str
    tokens: tuple[str, ...]
    weights: NDArray[np.float32]


def read_attention(name: str, model: Any, tokenizer: "Tokenizer", text: str) -> Attention:
    """Run a text through a model and keep every attention weight; the tokenizer's own rules frame it ([CLS], [SEP]).

    Raises InputError for a text without tokens, longer than the model's context, or too long for a page.
    """
    import torch

    tokens = explain(tokenizer.json, text).processed
    config, time = model.config, len(tokens)
    heads = config.n_layers * config.stack.n_heads
    if not tokens:
        raise InputError(f"--attention: {text!r} has no tokens. Give some text.")
    if time > config.context_length:
        raise InputError(
            f"--attention: the text has {time:,} tokens, and {name} sees {config.context_length:,} at once. "
            "Give a shorter text."
        )
    if heads * time * time > MOST_WEIGHTS:
        fits = int((MOST_WEIGHTS / heads) ** 0.5)
        raise InputError(
            f"--attention: {time:,} tokens in {heads:,} heads are {heads * time * time:,} weights, too many for "
            f"a page. Give a text of {fits:,} tokens or fewer."
        )
    if unknown := [token for token in tokens if token.id >= config.vocab_size]:
        raise InputError(
            f"{name}: its tokenizer has the id {unknown[0].id:,} and its model only {config.vocab_size:,} rows. "
            "The two are not of one model."
        )
    trace = Trace()
    with evaluating(model):
        model.hidden(torch.tensor([[token.id for token in tokens]]), trace=trace)
    weights = torch.stack([each[0] for each in trace.attentions]).float().cpu().numpy()
    return Attention(name, text, tuple(token.text or token.name for token in tokens), weights)


def write_page(seen: Attention, output: Path) -> None:
    """Write the page."""
    write_text(output, attention_page(seen))


def attention_page(seen: Attention) -> str:
    """The whole page."""
    layers, heads, time, _ = seen.weights.shape
    labels = [token if len(token) <= LONGEST_LABEL else f"{token[: LONGEST_LABEL - 1]}…" for token in seen.tokens]
    gutter = LETTER * (max(map(len, labels)) + 2)
    script = _asset("attention.js")
    return Template(_asset("attention.html")).substitute(
        hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        script=script,
        name=escape(seen.name),
        lead=f"Layers: {layers:,}. Heads in each: {heads:,}. Tokens: {time:,}.",
        text=escape(seen.text),
        keys="".join(f"<li>{escape(token)}</li>" for token in seen.tokens),
        time=time,
        gutter=gutter / CELL,
        heads=heads,
        labels=_labels([escape(label) for label in labels], gutter),
        layers="\n".join(_layer(number, maps) for number, maps in enumerate(seen.weights, start=1)),
        weights=base64.b64encode(numbers_of(seen.weights)).decode(),
    )


def numbers_of(weights: NDArray[np.float32]) -> bytes:
    """Weights as the page holds them: 65,535 to the unit, two bytes each, the smaller first."""
    return (weights * 65_535).round().clip(0, 65_535).astype("<u2").tobytes()


def picture_of(weights: NDArray[np.float32]) -> bytes:
    """A map, (time, time), as a PNG of one pixel a weight: ink that is as dense as the square root of the weight."""
    time = len(weights)
    shades = (np.sqrt(weights.clip(0, 1)) * (SHADES - 1)).round().astype(np.uint8)
    rows = np.concatenate([np.zeros((time, 1), np.uint8), shades], axis=1)  # each begins with its filter: none
    density = bytes(round(255 * shade / (SHADES - 1)) for shade in range(SHADES))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", time, time, 8, 3, 0, 0, 0)),  # 8 bits, a palette
        (b"PLTE", INK * SHADES),
        (b"tRNS", density),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def _layer(number: int, maps: NDArray[np.float32]) -> str:
    figures = "".join(_figure(number, head, weights) for head, weights in enumerate(maps, start=1))
    return f'<section>\n<h2>Layer {number}</h2>\n<div class="maps">{figures}</div>\n</section>'


def _figure(layer: int, head: int, weights: NDArray[np.float32]) -> str:
    """A head's map; named in the address, it is shown large, with its labels."""
    place = f"layer-{layer}-head-{head}"
    picture = base64.b64encode(picture_of(weights)).decode()
    return (
        f'<figure id="{place}"><a href="#{place}"><figcaption><span>Layer {layer}, head </span>{head}</figcaption>'
        f'<img src="data:image/png;base64,{picture}" alt="Attention of layer {layer}, head {head}"></a>'
        '<svg class="columns" aria-hidden="true"><use href="#columns"/></svg>'
        '<svg class="rows" aria-hidden="true"><use href="#rows"/></svg></figure>'
    )


def _labels(tokens: Sequence[str], gutter: int) -> str:
    """The tokens above a map and beside it, drawn once; each figure uses them."""
    length = CELL * len(tokens)
    places = [CELL * place + 0.7 * CELL for place in range(len(tokens))]
    columns = "".join(
        f'<text transform="translate({place:g} {gutter - 5}) rotate(-90)">{token}</text>'
        for place, token in zip(places, tokens, strict=True)
    )
    rows = "".join(
        f'<text x="{gutter - 5}" y="{place:g}" text-anchor="end">{token}</text>'
        for place, token in zip(places, tokens, strict=True)
    )
    return (
        f'<symbol id="columns" viewBox="0 0 {length} {gutter}">{columns}</symbol>'
        f'<symbol id="rows" viewBox="0 0 {gutter} {length}">{rows}</symbol>'
    )


def _asset(name: str) -> str:
    return (resources.files("tezgah") / name).read_text(encoding="utf-8")
