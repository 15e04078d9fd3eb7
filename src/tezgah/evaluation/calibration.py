"""Whether a model is right as often as it is sure: reliability, in equal steps of confidence.

Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

BINS = 15  # of confidence, as Guo et al. have it


class Bin(msgspec.Struct, frozen=True):
    """Predictions whose confidence lies above `low` up to `high`: how confident, and how often right."""

    low: float
    high: float
    predictions: int
    confidence: float
    accuracy: float


class Reliability:
    """Predictions by their confidence, counted as they come."""

    def __init__(self) -> None:
        self._predictions = np.zeros(BINS, np.int64)
        self._confidence, self._right = np.zeros(BINS), np.zeros(BINS)

    def add(self, confidence: NDArray[np.float64], right: NDArray[Any]) -> None:
        """Count predictions, (predictions,) each."""
        step = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
        self._predictions += np.bincount(step, minlength=BINS)
        self._confidence += np.bincount(step, confidence, minlength=BINS)
        self._right += np.bincount(step, right, minlength=BINS)

    def bins(self) -> list[Bin]:
        """The steps that hold any."""
        return [
            Bin(
                low=step / BINS,
                high=(step + 1) / BINS,
                predictions=count,
                confidence=float(self._confidence[step]) / count,
                accuracy=float(self._right[step]) / count,
            )
            for step, count in enumerate(self._predictions.tolist())
            if count
        ]


def reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> list[Bin]:
    """Predictions by their confidence, in equal steps; steps without any are left out."""
    counted = Reliability()
    counted.add(confidence, right)
    return counted.bins()


def calibration_error(bins: Sequence[Bin]) -> float:
    """The expected calibration error: |confidence - accuracy|, averaged over predictions (Guo et al. 2017, eq. 3)."""
    total = sum(each.predictions for each in bins)
    return sum(each.predictions / total * abs(each.confidence - each.accuracy) for each in bins)
