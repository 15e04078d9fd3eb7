"""The `[corpus]` table: what is read, what is kept, how it is split."""

from typing import Annotated, Literal

from msgspec import Meta

from tezgah.settings import PositiveInt, Settings, Share, Temperature


class CorpusSettings(Settings, frozen=True):
    """Which documents make the corpus."""

    source: Annotated[
        str | tuple[str, ...],
        Meta(description="folder, file, glob, or a list of them; 'stdlib' is Python's own library; 'datasets:ID'"),
    ] = "stdlib"
    weights: Annotated[
        dict[str, float] | None,
        Meta(description="what each source is to have of the training, in any unit; by its size if left out"),
    ] = None
    temperature: Annotated[
        Temperature | None,
        Meta(description="instead of weights: shares go by size^(1 / temperature), 1 is by size, a high one equal"),
    ] = None
    text_column: Annotated[str, Meta(description="column that holds the text (JSON Lines, Parquet, datasets)")] = "text"
    keep_columns: Annotated[tuple[str, ...], Meta(description="further columns to carry along")] = ()
    include: Annotated[
        tuple[str, ...], Meta(description="file name patterns to read in a folder; empty reads every text file")
    ] = ()
    on_error: Annotated[
        Literal["stop", "skip"], Meta(description="at a broken row or file: stop, or skip and count it")
    ] = "stop"
    max_file_bytes: Annotated[PositiveInt, Meta(description="larger text files in a folder are set aside")] = 10_000_000
    max_document_bytes: Annotated[
        PositiveInt, Meta(description="longer texts are cut at paragraph ends into parts")
    ] = 65_536
    split: Annotated[
        Literal["auto", "hash", "position"],
        Meta(description="hash of the split key, or position in the text; auto takes hash where documents suffice"),
    ] = "auto"
    split_key: Annotated[str, Meta(description="column whose hash chooses the split; empty is the text itself")] = ""
    validation_ratio: Annotated[Share, Meta(description="share of documents held out (split = hash)")] = 0.1
    test_ratio: Annotated[Share, Meta(description="share kept for a test split (split = hash)")] = 0.0
    train_ratio: Annotated[Share, Meta(description="share of the characters before the cut (split = position)")] = 0.9
