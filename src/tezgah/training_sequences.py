"""What a training reads: the stored sequences, a stream's, or those of several sources in shares of their own."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tezgah.errors import InputError
from tezgah.files import write_json
from tezgah.recipe import Recipe
from tezgah.recipe_checks import check_weights

if TYPE_CHECKING:
    from tezgah.tokenizer.tokenizer import Tokenizer
    from tezgah.tokens.mixture import Mixture
    from tezgah.tokens.quota import Quota
    from tezgah.tokens.sequences import Sequences, TrainingSequences
    from tezgah.tokens.shards import TokenStream
    from tezgah.tokens.streamed import StreamedSequences

SHARES_FILE = Path("checkpoints") / "sources.json"


@contextmanager
def training_sequences(
    learned: "TokenStream", context_length: int, tokenizer: "Tokenizer", recipe: Recipe, run: Path, fingerprint: str
) -> "Iterator[TrainingSequences]":
    """The sequences of a training; what was measured of a stream is said at the end.

    `learned` is the split that is stored: all that is trained on, or the sample of a stream. Raises InputError where
    a source makes no sequence, or its weight is missing.
    """
    from tezgah.tokens.sequences import Sequences

    whole = Sequences(learned, context_length, recipe.tokens.stride)
    has_shares = recipe.corpus.weights is not None or recipe.corpus.temperature is not None
    with ExitStack() as opened:
        if recipe.tokens.mode == "stream":
            yield opened.enter_context(_streamed(whole, tokenizer, recipe, run, fingerprint, has_shares))
        elif has_shares:
            yield opened.enter_context(_recorded(_stored_mixture(whole, learned, recipe), run))
        else:
            (run / SHARES_FILE).unlink(missing_ok=True)  # of a training that was begun with shares
            yield whole


def tell_shares(sequences: "TrainingSequences", count: int) -> None:
    """Say what each source has had of the first `count` sequences, where they come in shares."""
    from tezgah.console import say
    from tezgah.tokens.mixture import Mixture, seen

    if isinstance(sequences, Mixture):
        parts = (
            f"{each.name} {each.share:.1%} of the sequences (wanted {each.wanted:.1%})"
            + ("" if each.epochs is None else f", {each.epochs:.2f} epochs of it")
            for each in seen(sequences.shares(), count)
        )
        say(f"sources: {'; '.join(parts)}")


def _stored_mixture(whole: "Sequences", learned: "TokenStream", recipe: Recipe) -> "Mixture":
    from tezgah.tokens.mixture import Mixture
    from tezgah.tokens.sequences import Sequences
    from tezgah.tokens.sources import source_streams

    streams = {name: stream for name, stream in source_streams(learned).items() if recipe.corpus.weights or len(stream)}
    if recipe.corpus.weights:
        check_weights(recipe.corpus.weights, streams, "[corpus] weights")
    parts = {name: Sequences(stream, whole.context_length, whole.stride) for name, stream in streams.items()}
    return Mixture(parts, _quota({name: len(part) for name, part in parts.items()}, recipe), whole)


def _quota(sizes: Mapping[str, int], recipe: Recipe) -> "Quota":
    """The schedule of sources of these sizes, in any unit."""
    from tezgah.tokens.quota import Quota, tempered, units_of

    weights, temperature = recipe.corpus.weights, recipe.corpus.temperature
    if weights is not None:
        return Quota(units_of([weights[name] for name in sizes]))
    if not all(sizes.values()):
        unknown = next(name for name, size in sizes.items() if not size)
        raise InputError(
            f"[corpus] temperature: how large the source {unknown} is cannot be told before it is read. Set weights."
        )
    assert temperature is not None
    return Quota(units_of(tempered(list(sizes.values()), temperature)))


@contextmanager
def _recorded(mixture: "Mixture", run: Path) -> "Iterator[Mixture]":
    """The mixture, with `sources.json` beside its checkpoints; again at the end, for what a stream knows by then."""
    _write_shares(mixture, run)
    yield mixture
    _write_shares(mixture, run)


def _write_shares(mixture: "Mixture", run: Path) -> None:
    from tezgah.tokens.mixture import SharesRecord
    from tezgah.training.world import join_world

    if join_world().is_first:
        write_json(run / SHARES_FILE, msgspec.to_builtins(SharesRecord(sources=mixture.shares())))


@contextmanager
def _streamed(
    sample: "Sequences", tokenizer: "Tokenizer", recipe: Recipe, run: Path, fingerprint: str, has_shares: bool
) -> "Iterator[TrainingSequences]":
    """The sequences of a stream, or of one stream a source, with what was measured of it said at the end."""
    from tezgah.corpus.inputs import list_sources
    from tezgah.tokens.infill import training_encoder
    from tezgah.tokens.mixture import Mixture
    from tezgah.tokens.progress import StreamProgress
    from tezgah.tokens.stream import read_pieces
    from tezgah.tokens.streamed import BUFFER_TOKENS, StreamedSequences
    from tezgah.training.world import join_world

    is_first, checkpoints = join_world().is_first, run / "checkpoints"
    encode = training_encoder(tokenizer, recipe.tokens.fim_rate, recipe.train.seed)

    def opened(name: str, only: str | None, parts: int) -> "StreamedSequences":
        progress = StreamProgress(checkpoints / name, fingerprint, is_first)
        read = partial(read_pieces, recipe.corpus, tokenizer, only=only, encode=encode)
        return StreamedSequences(read, progress, sample, BUFFER_TOKENS // parts)

    with ExitStack() as stack:
        if has_shares:
            sizes = {each.name: sum(file.size for file in each.files) for each in list_sources(recipe.corpus)}
            quota = _quota(sizes, recipe)
            streams = {name: opened(f"stream-{place}.json", name, len(sizes)) for place, name in enumerate(sizes)}
            mixture = stack.enter_context(_recorded(Mixture(streams, quota, sample), run))
            for each in streams.values():
                stack.enter_context(closing(each))
            yield mixture
        else:
            (run / SHARES_FILE).unlink(missing_ok=True)
            streams = {"": opened("stream.json", None, 1)}
            yield stack.enter_context(closing(streams[""]))
    if is_first:
        _tell_stream(list(streams.values()))


def _tell_stream(streams: "Sequence[StreamedSequences]") -> None:
    from tezgah.console import say

    marks = [each.reached for each in streams]
    if tokens := sum(each.tokens for each in marks):
        say(
            f"stream: {sum(each.documents for each in marks):,} documents, {tokens:,} tokens read in the first epoch, "
            f"{sum(each.characters for each in marks) / tokens:.2f} characters and "
            f"{sum(each.bytes for each in marks) / tokens:.2f} bytes a token"
        )
