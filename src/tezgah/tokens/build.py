"""A corpus as token shards: every document behind a separator, one separator at the very end.

What is trained on may be written to be filled in (`infill.py`); what is held out is as it was read, always.
"""

from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tezgah.console import Progress, progress
from tezgah.corpus.reading import read_batches
from tezgah.corpus.reading import read_index as read_corpus_index
from tezgah.corpus.writing import MOST_GROUPS
from tezgah.tokenizer.tokenizer import Tokenizer
from tezgah.tokens.index import FORMAT, SplitIndex, TokensIndex, dtype_of, shard_name, write_index
from tezgah.tokens.infill import Encode, training_encoder
from tezgah.tokens.npy import NpyWriter
from tezgah.tokens.settings import TokensSettings

TRAINED_ON = ("train", "sample")  # the sample stands for a stream's training split


def build_tokens(
    corpus: Path, tokenizer: Tokenizer, settings: TokensSettings, folder: Path, seed: int = 0
) -> TokensIndex:
    """Write every split of the corpus into the empty `folder`, a batch of documents in memory at a time.

    `seed` decides which documents are written to be filled in, where the settings ask for some. Raises InputError for
    such settings and a tokenizer without the tokens.
    """
    training = training_encoder(tokenizer, settings.fim_rate, seed)
    splits = read_corpus_index(corpus).splits
    total = sum(amount.bytes for amount in splits.values())
    numbers, written = SourceNumbers(), {}
    with progress("tokens", total, "B") as bar:
        for split in splits:
            encode = training if split in TRAINED_ON else tokenizer.encode_batch
            written[split] = _write_split(corpus, split, tokenizer, encode, settings, folder, numbers, bar)
    index = TokensIndex(
        format=FORMAT,
        dtype=dtype_of(tokenizer.vocab_size),
        vocab_size=tokenizer.vocab_size,
        separator_id=tokenizer.separator_id,
        tokenizer=tokenizer.hash,
        splits=written,
        sources=tuple(numbers.known),
    )
    write_index(folder, index)
    return index


def _write_split(
    corpus: Path,
    split: str,
    tokenizer: Tokenizer,
    encode: Encode,
    settings: TokensSettings,
    folder: Path,
    numbers: "SourceNumbers",
    bar: Progress,
) -> SplitIndex:
    text_tokens = characters = size_bytes = 0
    with (
        closing(ShardWriter(folder, split, dtype_of(tokenizer.vocab_size), settings.shard_tokens)) as stream,
        closing(NpyWriter(folder / f"{split}-offsets.npy", np.int64)) as offsets,
        closing(NpyWriter(folder / f"{split}-bytes.npy", np.int64)) as sizes,
        closing(NpyWriter(folder / f"{split}-sources.npy", np.uint16)) as sources,
    ):
        for batch in read_batches(corpus, split, ("text", "source")):
            texts = batch["text"]
            ids, starts = encode(texts)  # (tokens,), (rows + 1,)
            lengths = pc.binary_length(texts).to_numpy(zero_copy_only=False)  # (rows,) UTF-8 bytes
            offsets.append(stream.length + starts[:-1] + np.arange(len(texts)))
            sizes.append(lengths)
            sources.append(numbers.of(batch["source"]))
            stream.append(np.insert(ids, starts[:-1], tokenizer.separator_id))
            text_tokens += ids.size
            characters += pc.sum(pc.utf8_length(texts)).as_py() or 0
            size_bytes += int(lengths.sum())
            bar.advance(int(lengths.sum()))
        offsets.append(np.array([stream.length]))
        stream.append(np.array([tokenizer.separator_id]))
    return SplitIndex(
        documents=sizes.length,
        text_tokens=text_tokens,
        bytes=size_bytes,
        characters=characters,
        shards=tuple(stream.shards),
    )


class SourceNumbers:
    """A number for each source, as they come; those beyond the first thousand are one, as in the corpus' card."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def of(self, names: pa.StringArray) -> NDArray[np.uint16]:
        """The numbers of some documents' sources, (documents,)."""
        found = names.dictionary_encode()
        numbers = np.array([self._number(name) for name in found.dictionary.to_pylist()], np.uint16)
        return np.take(numbers, np.asarray(found.indices))

    def _number(self, name: str) -> int:
        if name not in self.known and len(self.known) >= MOST_GROUPS:
            name = "(other)"
        return self.known.setdefault(name, len(self.known))


class ShardWriter:
    """One long stream of ids in `.npy` files of `shard_tokens` each, the last one shorter."""

    def __init__(self, folder: Path, split: str, dtype: str, shard_tokens: int) -> None:
        self._folder, self._split, self._dtype, self._shard_tokens = folder, split, dtype, shard_tokens
        self._file: NpyWriter | None = None
        self.shards: list[int] = []  # tokens in each file
        self.length = 0  # ids in the stream so far

    def append(self, ids: NDArray[np.integer]) -> None:
        """Write `ids` at the stream's end."""
        while ids.size:
            if self._file is None or self._file.length == self._shard_tokens:
                self.close()
                self._file = NpyWriter(self._folder / shard_name(self._split, len(self.shards)), self._dtype)
                self.shards.append(0)
            taken = ids[: self._shard_tokens - self._file.length]
            self._file.append(taken)
            self.shards[-1] += taken.size
            self.length += taken.size
            ids = ids[taken.size :]

    def close(self) -> None:
        """Close the last file."""
        if self._file is not None:
            self._file.close()
            self._file = None
