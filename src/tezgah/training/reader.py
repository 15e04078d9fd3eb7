"""A reading: what is measured of the model as it stands, and what it writes; training itself is not touched."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tezgah.models.language import LanguageModel
from tezgah.nn.modes import evaluating
from tezgah.tokens.sequences import Sequences, TrainingSequences
from tezgah.training.budget import Plan
from tezgah.training.place import Place
from tezgah.training.readings import loss_readings
from tezgah.training.settings import TrainSettings

Reading = Callable[[LanguageModel, Place], dict[str, Any]]
Samples = Callable[[LanguageModel, Place], list[dict[str, str]]]


@dataclass(frozen=True)
class Callbacks:
    """What is done at a reading, by those who know how; training does not.

    `reading` measures the model as it stands, `samples` lets it write, `save_extras` adds files
    (the tokenizer's) to a folder that a model was written into.
    """

    reading: Reading
    samples: Samples
    save_extras: Callable[[Path], None]


@dataclass(frozen=True)
class Data:
    """Both splits as sequences, and the id that separates their documents, each read by itself or not."""

    train: TrainingSequences
    validation: Sequences
    separator_id: int
    reads_separately: bool = False

    @property
    def boundary_id(self) -> int | None:
        """The id at which another document begins; None where documents are read on as one text."""
        return self.separator_id if self.reads_separately else None


class Reader:
    """Takes readings and samples when they are due; `seconds` is the clock of the run."""

    def __init__(
        self, data: Data, settings: TrainSettings, place: Place, callbacks: Callbacks, seconds: Callable[[], float]
    ) -> None:
        self._data, self._settings, self._place = data, settings, place
        self._callbacks, self._clock = callbacks, seconds
        self.seconds = 0.0  # of the reading that was timed

    def is_due(self, step: int, plan: Plan) -> bool:
        """Whether the model is measured or lets us see a sample after this step."""
        return self._is_reading(step, plan) or self._is_sample(step, plan)

    def due(self, model: LanguageModel, step: int, plan: Plan) -> dict[str, Any]:
        """What belongs into the row of a step after which something `is_due`."""
        if self._is_reading(step, plan):
            return self.reading(model, self._is_sample(step, plan) or not self._settings.sample_steps)
        return {"samples": self._samples(model)}

    def reading(self, model: LanguageModel, with_samples: bool = True) -> dict[str, Any]:
        """Losses of both splits, what the callback measures, and samples."""
        data = self._data
        with evaluating(model):
            row = loss_readings(
                model, data.train.sample, data.validation, self._settings, self._place, data.boundary_id
            )
            row |= self._callbacks.reading(model, self._place)
        return row | ({"samples": self._samples(model)} if with_samples else {})

    def timed_reading(self, model: LanguageModel) -> dict[str, Any]:
        """A reading whose duration is kept in `seconds`."""
        start = self._clock()
        row = self.reading(model)
        self.seconds = self._clock() - start
        return row

    def _is_reading(self, step: int, plan: Plan) -> bool:
        return step == plan.steps or step % plan.reading_steps == 0

    def _is_sample(self, step: int, plan: Plan) -> bool:
        every = self._settings.sample_steps
        return step == plan.steps or (every > 0 and step % every == 0)

    def _samples(self, model: LanguageModel) -> list[dict[str, str]]:
        with evaluating(model):
            return self._callbacks.samples(model, self._place)
