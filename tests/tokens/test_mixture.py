"""Sources in shares of their own: each goes through all it has before it repeats; all follows from the number."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tezgah.errors import InputError
from tezgah.tokenizer.tokenizer import Tokenizer
from tezgah.tokens.build import SourceNumbers, build_tokens
from tezgah.tokens.mixture import Mixture, seen
from tezgah.tokens.quota import Quota
from tezgah.tokens.sequences import Sequences
from tezgah.tokens.settings import TokensSettings
from tezgah.tokens.shards import TokenStream
from tezgah.tokens.sources import SourceStream, source_streams

WriteCorpus = Callable[[dict[str, list[str]]], Path]


class Numbers:
    """A token stream in memory: so many ids from `first` on."""

    folder, split = Path("tokens"), "train"
    offsets = np.empty(0, np.int64)

    class index:
        separator_id = 0

    def __init__(self, first: int, length: int) -> None:
        self.ids = np.arange(first, first + length)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, tokens: slice):
        return self.ids[tokens]


def sequences(first: int, count: int) -> Sequences:
    """So many sequences of one token, told apart by their ids."""
    return Sequences(Numbers(first, count + 1), 1)  # type: ignore[arg-type]


def mixture(sizes: list[int], units: list[int]) -> Mixture:
    parts = {f"source {number}": sequences(1_000 * number, size) for number, size in enumerate(sizes)}
    return Mixture(parts, Quota(units), sequences(0, 3))


MIXTURES = st.integers(1, 5).flatmap(
    lambda count: st.tuples(
        st.lists(st.integers(1, 60), min_size=count, max_size=count),
        st.lists(st.integers(1, 9), min_size=count, max_size=count),
    )
)


@given(MIXTURES, st.integers(0, 2**40), st.integers(0, 400))
def test_no_sequence_comes_again_before_its_sources_epoch_is_over(
    mixed: tuple[list[int], list[int]], seed: int, count: int
):
    sizes, units = mixed
    ids = mixture(sizes, units).take(seed, 0, count)[0].ravel()
    for number, size in enumerate(sizes):
        own = ids[ids // 1_000 == number] - 1_000 * number
        for start in range(0, len(own), size):
            epoch = own[start : start + size]
            assert len(set(epoch.tolist())) == len(epoch)
            assert len(epoch) < size or sorted(epoch.tolist()) == list(range(size))


@given(MIXTURES, st.integers(0, 2**40), st.integers(0, 10**9), st.lists(st.integers(0, 40), max_size=6))
def test_what_is_seen_when_depends_on_the_number_alone(
    mixed: tuple[list[int], list[int]], seed: int, first: int, pieces: list[int]
):
    """So a resume is a seek, and what some processes take is together what one takes."""
    whole = mixture(*mixed).take(seed, first, sum(pieces))
    starts = np.cumsum([0, *pieces])[:-1]
    taken = [mixture(*mixed).take(seed, first + int(start), count) for start, count in zip(starts, pieces, strict=True)]
    for side in (0, 1):
        found = np.concatenate([each[side] for each in taken]) if taken else whole[side]
        assert np.array_equal(found, whole[side])


def test_every_epoch_of_a_source_has_an_order_of_its_own_and_every_source_too():
    mixed = mixture([50, 50], [1, 1])
    ids = mixed.take(1, 0, 200)[0].ravel()
    orders = [(ids[ids // 1_000 == number] - 1_000 * number).reshape(2, 50).tolist() for number in (0, 1)]
    assert len({tuple(order) for source in orders for order in source}) == 4
    assert not np.array_equal(mixed.take(2, 0, 200)[0].ravel(), ids)


def test_an_epoch_is_as_many_sequences_as_there_are_in_all_and_small_sources_have_more_of_their_own():
    mixed = mixture([90, 10], [1, 1])
    assert mixed.in_epoch == 100
    assert (mixed.epochs(50), mixed.epochs(100), mixed.epochs(250)) == (0.5, 1.0, 2.5)
    large, small = seen(mixed.shares(), 100)
    assert (large.wanted, large.share, large.sequences, large.epochs) == (0.5, 0.5, 50, 50 / 90)
    assert (small.name, small.sequences, small.epochs) == ("source 1", 50, 5.0)
    assert [each.share for each in seen(mixed.shares(), 0)] == [0, 0]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["su su ve çay"], vocab_size=261)


def stored(corpus: Path, sources: list[str], tokenizer: Tokenizer) -> TokenStream:
    """The tokens of a corpus whose documents are of these sources."""
    table = pq.read_table(corpus / "train.parquet")
    place = table.schema.get_field_index("source")
    pq.write_table(table.set_column(place, "source", pa.array(sources, pa.string())), corpus / "train.parquet")
    folder = corpus.parent / "tokens"
    folder.mkdir()
    build_tokens(corpus, tokenizer, TokensSettings(shard_tokens=7), folder)
    return TokenStream(folder, "train")


@pytest.mark.parametrize("sources", ["aabb", "abab", "abba", "aaaa", "baaa"])
def test_a_sources_stream_is_the_one_that_would_be_made_of_it_alone(
    sources: str, tokenizer: Tokenizer, write_corpus: WriteCorpus
):
    texts = ["çay", "", "su su", "ve 🙂"]
    streams = source_streams(stored(write_corpus({"train": texts}), list(sources), tokenizer))
    assert list(streams) == list(dict.fromkeys(sources))
    for name, stream in streams.items():
        own = [text for text, source in zip(texts, sources, strict=True) if source == name]
        expected = [each for text in own for each in (0, *tokenizer.encode(text))] + [0]
        assert len(stream) == len(expected)
        assert stream[:].tolist() == expected
        assert stream.offsets.tolist() == [place for place, each in enumerate(expected) if each == 0]
        for start in range(len(expected) + 2):
            for stop in range(len(expected) + 2):
                assert stream[start:stop].tolist() == expected[start:stop]


def test_a_source_without_a_document_in_a_split_is_an_empty_stream(tokenizer: Tokenizer, write_corpus: WriteCorpus):
    whole = stored(write_corpus({"train": ["su", "ve"], "validation": ["çay"]}), ["a", "b"], tokenizer)
    assert whole.index.sources == ("a", "b", "test")
    stream = source_streams(whole)["test"]
    assert (len(stream), stream[:].tolist(), stream.offsets.tolist()) == (0, [], [])
    with pytest.raises(InputError, match=r"0 'test' training tokens make no sequence of context_length 4"):
        Sequences(stream, 4)
    nothing = SourceStream(whole, "a", np.empty((0, 2), np.int64))
    assert len(nothing) == 0


def test_sources_beyond_the_first_thousand_are_one():
    numbers = SourceNumbers()
    first = numbers.of(pa.array([str(number) for number in range(1_000)]))
    assert first.tolist() == list(range(1_000))
    assert numbers.of(pa.array(["7", "new", "0", "another", "(other)"])).tolist() == [7, 1_000, 0, 1_000, 1_000]
    assert list(numbers.known)[-1] == "(other)"


def test_tokens_of_an_early_tezgah_name_no_sources_and_say_so(tokenizer: Tokenizer, write_corpus: WriteCorpus):
    whole = stored(write_corpus({"train": ["su", "ve"]}), ["a", "b"], tokenizer)
    path = whole.folder / "index.json"
    index = json.loads(path.read_text())
    del index["sources"]
    path.write_text(json.dumps(index))
    with pytest.raises(InputError, match="does not say which source a document is of. Make the tokens anew"):
        source_streams(TokenStream(whole.folder, "train"))
