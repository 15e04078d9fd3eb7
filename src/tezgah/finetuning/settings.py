"""What a fine-tuning is told."""

from typing import Annotated

from msgspec import Meta

from tezgah.settings import NaturalFloat, NaturalInt, PositiveFloat, PositiveInt, Settings, Share


class FinetuneSettings(Settings, frozen=True):
    """Which columns, what is held out, and how long and how fast is trained."""

    text: Annotated[str, Meta(description="column of the texts")] = "text"
    text_pair: Annotated[str, Meta(description="column of second texts, where pairs are classified")] = ""
    label: Annotated[str, Meta(description="column of the labels; a list there is several labels of one text")] = (
        "label"
    )
    label_separator: Annotated[
        str, Meta(description="character between the labels of one text, which then may have several, or none")
    ] = ""
    valid: Annotated[str, Meta(description="file of texts to measure on; default a tenth of DATA by hash")] = ""
    folds: Annotated[
        NaturalInt,
        Meta(description="cross-validate: train so many times, each with another part held out, then once on all"),
    ] = 0
    epochs: Annotated[PositiveInt, Meta(description="passes over the texts at most")] = 10
    batch_size: Annotated[PositiveInt, Meta(description="texts per optimizer step")] = 16
    lr: Annotated[
        PositiveFloat | None,
        Meta(description="peak learning rate of the head; default 5e-5 at width 768, by width"),
    ] = None
    layer_decay: Annotated[
        PositiveFloat, Meta(description="learning rate of a block beside that of the block above it")
    ] = 0.95
    patience: Annotated[
        NaturalInt, Meta(description="epochs without a higher validation macro-F1 that end training; 0 is off")
    ] = 3
    dropout: Annotated[Share, Meta(description="dropout on embeddings, attention, residuals and the head")] = 0.1
    weight_decay: Annotated[NaturalFloat, Meta(description="decoupled weight decay of matrices")] = 0.01
    class_weights: Annotated[
        bool, Meta(description="weigh rare classes more in the loss, each by the inverse of its count")
    ] = False
    seed: Annotated[NaturalInt, Meta(description="names every random stream")] = 1
