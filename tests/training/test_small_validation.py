"""A validation split smaller than a batch, down to a single short sequence, is read like any other."""

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from tests.training.test_loop import SETTINGS, write_tokens
from tezgah.models.build import build_config, build_model
from tezgah.models.settings import ModelSettings
from tezgah.tokens.sequences import Sequences
from tezgah.tokens.shards import TokenStream
from tezgah.training.place import choose_place
from tezgah.training.readings import loss_readings


class Head:
    """The first tokens of a stream."""

    def __init__(self, stream: TokenStream, length: int) -> None:
        self.folder, self.split, self.index, self.offsets = stream.folder, stream.split, stream.index, stream.offsets
        self._ids = stream[:length]

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, tokens: slice) -> np.ndarray:
        return self._ids[tokens]


@pytest.mark.parametrize(("tokens", "count"), [(2, 1), (10, 1), (17, 1), (40, 3)])
def test_its_loss_is_the_mean_over_what_there_is(tokens: int, count: int, tmp_path: Path):
    write_tokens(tmp_path / "tokens")
    stream = TokenStream(tmp_path / "tokens", "train")
    held_out = Sequences(Head(stream, tokens), 16, keep_short=True)
    assert len(held_out) == count
    model = build_model(build_config(ModelSettings(n_layers=1, width=16, n_heads=1, context_length=16), 64), seed=1)
    settings = msgspec.structs.replace(SETTINGS, batch_size=8)
    place = choose_place(settings)
    with torch.no_grad():
        row = loss_readings(model.eval(), Sequences(stream, 16), held_out, settings, place)
        ids, targets = map(torch.from_numpy, held_out.batch(np.arange(count)))
        expected = float(model.loss(ids, targets)) / int((targets >= 0).sum())
    assert row["validation_loss"] == pytest.approx(expected, rel=1e-5)
    assert row["perplexity"] == pytest.approx(math.exp(expected), rel=1e-5)
