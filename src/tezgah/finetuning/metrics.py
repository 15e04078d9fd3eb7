"""How good predictions are: accuracy, F1, the confusion matrix, calibration, and the worst mistakes."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from tezgah.evaluation.calibration import Bin, calibration_error, reliability

THRESHOLD = 0.5  # from which a text has a label, where it may have several

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]


class ClassScore(msgspec.Struct, frozen=True):
    """One class: of what was called it how much is (`precision`), of what is it how much was called it (`recall`)."""

    label: str
    precision: float
    recall: float
    f1: float
    texts: int


class Measured(msgspec.Struct, frozen=True):
    """What predictions of held-out texts come to.

    `accuracy` is the share of texts with all labels right. `macro_f1` is the mean of the classes' F1, of those that
    occur or are predicted; where a text may have several labels, of all. `calibration_error` is the expected one.
    `confusion` counts texts, a row a true class, a column a predicted one; empty where a text may have several labels.
    """

    texts: int
    accuracy: float
    macro_f1: float
    calibration_error: float
    classes: list[ClassScore]
    confusion: list[list[int]]
    reliability: list[Bin]


def measure(probabilities: Array, targets: Numbers, labels: Sequence[str]) -> Measured:
    """Measure `probabilities`, (texts, labels), against `targets`: (texts,), or (texts, labels) of 0 and 1."""
    is_multi = targets.ndim == 2
    chosen = decided(probabilities, is_multi)
    right = chosen == targets
    if is_multi:
        confidence = np.maximum(probabilities, 1 - probabilities)
        hits, predicted, actual = (chosen * targets).sum(0), chosen.sum(0), targets.sum(0)
        counted = np.ones(len(labels), bool)
        confusion: list[list[int]] = []
        accuracy = right.all(1).mean()
    else:
        confidence = probabilities.max(1)
        matrix = confusion_matrix(targets, chosen, len(labels))
        hits, predicted, actual = matrix.diagonal(), matrix.sum(0), matrix.sum(1)
        counted = (predicted + actual) > 0
        confusion = matrix.tolist()
        accuracy = right.mean()
    precision, recall = _share(hits, predicted), _share(hits, actual)
    f1 = _share(2 * hits, predicted + actual)
    bins = reliability(confidence.ravel(), right.ravel())
    return Measured(
        texts=len(targets),
        accuracy=float(accuracy),
        macro_f1=float(f1[counted].mean()),
        calibration_error=calibration_error(bins),
        classes=[
            ClassScore(label, float(precision[k]), float(recall[k]), float(f1[k]), int(actual[k]))
            for k, label in enumerate(labels)
        ],
        confusion=confusion,
        reliability=bins,
    )


def probabilities_of(logits: NDArray[np.float32], is_multi: bool) -> Array:
    """Scores as probabilities, (texts, labels): of each label by itself, or of all together.

    >>> probabilities_of(np.array([[0.0, 0.0]], np.float32), is_multi=False).tolist()
    [[0.5, 0.5]]
    """
    wide = logits.astype(np.float64)
    if is_multi:
        return np.exp(-np.logaddexp(0, -wide))
    shifted = np.exp(wide - wide.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)  # type: ignore[no-any-return]


def decided(probabilities: Array, is_multi: bool) -> Numbers:
    """What is predicted: the likeliest label's number, (texts,), or 1 for every likely one, (texts, labels)."""
    return (probabilities >= THRESHOLD).astype(np.int64) if is_multi else probabilities.argmax(1)


def confusion_matrix(targets: Numbers, chosen: Numbers, classes: int) -> Numbers:
    """How many texts of each class, a row, were called each class, a column.

    >>> confusion_matrix(np.array([0, 1, 1]), np.array([0, 1, 0]), 2).tolist()
    [[1, 0], [1, 1]]
    """
    return np.bincount(targets * classes + chosen, minlength=classes**2).reshape(classes, classes)


def worst_mistakes(probabilities: Array, targets: Numbers, most: int) -> list[int]:
    """The texts that were called wrong with the most confidence, the most confident first."""
    is_multi = targets.ndim == 2
    wrong = decided(probabilities, is_multi) != targets
    confidence = np.maximum(probabilities, 1 - probabilities) if is_multi else probabilities.max(1)
    worst = np.where(wrong, confidence, 0.0)
    worst = worst.max(1) if is_multi else worst
    order = np.argsort(-worst, kind="stable")[:most]
    return [int(row) for row in order if worst[row] > 0]


def _share(part: Numbers, whole: Numbers) -> Array:
    """Shares, 0 where there is nothing to share."""
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)
