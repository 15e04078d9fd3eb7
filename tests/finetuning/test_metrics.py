"""Our figures are scikit-learn's, by its documentation's examples and by itself where it is installed."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tezgah.evaluation.calibration import calibration_error
from tezgah.finetuning.metrics import (
    Measured,
    confusion_matrix,
    measure,
    probabilities_of,
    worst_mistakes,
)


def measured(targets: list[int], chosen: list[int], labels: int) -> Measured:
    """Figures of predictions that are all of a confidence of 0.6 or more."""
    probabilities = np.full((len(chosen), labels), 0.4 / max(1, labels - 1))
    probabilities[np.arange(len(chosen)), chosen] = 0.6
    return measure(probabilities, np.array(targets), [str(label) for label in range(labels)])


def test_the_examples_of_scikit_learns_documentation() -> None:
    assert confusion_matrix(np.array([2, 0, 2, 2, 0, 1]), np.array([0, 0, 2, 2, 0, 2]), 3).tolist() == [
        [2, 0, 0],
        [0, 0, 1],
        [1, 0, 2],
    ]
    found = measured([0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 1], 3)  # of f1_score, precision_score and recall_score
    assert [each.f1 for each in found.classes] == pytest.approx([0.8, 0.0, 0.0])
    assert found.macro_f1 == pytest.approx(0.8 / 3)
    assert np.mean([each.precision for each in found.classes]) == pytest.approx(0.2222, abs=1e-4)
    assert np.mean([each.recall for each in found.classes]) == pytest.approx(0.3333, abs=1e-4)
    assert measured([0, 1, 2, 3], [0, 2, 1, 3], 4).accuracy == 0.5  # of accuracy_score


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40))
def test_figures_are_scikit_learns(rows: list[tuple[int, int]]) -> None:
    theirs = pytest.importorskip("sklearn.metrics")
    targets, chosen = [list(each) for each in zip(*rows, strict=True)]
    found = measured(targets, chosen, 5)
    assert found.accuracy == pytest.approx(theirs.accuracy_score(targets, chosen))
    assert found.macro_f1 == pytest.approx(theirs.f1_score(targets, chosen, average="macro", zero_division=0))
    assert found.confusion == theirs.confusion_matrix(targets, chosen, labels=range(5)).tolist()
    named: dict[str, Any] = {"labels": range(5), "zero_division": 0}
    precision, recall, f1, count = theirs.precision_recall_fscore_support(targets, chosen, **named)
    assert [each.precision for each in found.classes] == pytest.approx(precision)
    assert [each.recall for each in found.classes] == pytest.approx(recall)
    assert [each.f1 for each in found.classes] == pytest.approx(f1)
    assert [each.texts for each in found.classes] == count.tolist()


@given(st.lists(st.tuples(*[st.booleans()] * 6), min_size=1, max_size=20))
def test_figures_of_several_labels_are_scikit_learns(rows: list[tuple[bool, ...]]) -> None:
    theirs = pytest.importorskip("sklearn.metrics")
    targets, chosen = np.array(rows)[:, :3].astype(int), np.array(rows)[:, 3:].astype(int)
    found = measure(np.where(chosen == 1, 0.7, 0.2), targets, ["a", "b", "c"])
    assert found.accuracy == pytest.approx(theirs.accuracy_score(targets, chosen))
    assert found.macro_f1 == pytest.approx(theirs.f1_score(targets, chosen, average="macro", zero_division=0))
    assert found.confusion == []


def test_macro_f1_counts_every_class_alike_and_leaves_out_those_that_never_occur() -> None:
    rare = measured([0] * 98 + [1, 1], [0] * 100, 3)
    assert rare.accuracy == 0.98
    assert rare.macro_f1 == pytest.approx((2 * 98 / 198 + 0) / 2)  # class 2 neither occurs nor is predicted


def test_the_calibration_error_of_two_bins_is_what_a_hand_computes() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]])
    found = measure(probabilities, np.array([0, 1, 0, 1]), ["a", "b"])  # right: 1 of 2 at 0.9, 2 of 2 at 0.6
    assert [(each.predictions, each.accuracy) for each in found.reliability] == [(2, 1.0), (2, 0.5)]
    assert found.calibration_error == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)
    assert calibration_error(found.reliability) == found.calibration_error
    certain = measure(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1]), ["a", "b"])
    assert certain.calibration_error == 0 and certain.reliability[0].high == 1


def test_the_worst_mistakes_come_first() -> None:
    probabilities = np.array([[0.9, 0.1], [0.3, 0.7], [0.2, 0.8], [0.6, 0.4]])
    assert worst_mistakes(probabilities, np.array([0, 0, 0, 1]), most=2) == [2, 1]
    assert worst_mistakes(probabilities, np.array([0, 1, 1, 0]), most=2) == []
    several = np.array([[1, 0], [0, 0], [1, 1], [0, 1]])  # the second text has labels that are not its own
    assert worst_mistakes(probabilities, several, most=9) == [2, 1, 3]


@given(st.lists(st.floats(-800, 800, width=32), min_size=2, max_size=5))
def test_probabilities_are_probabilities(row: list[float]) -> None:
    logits = np.array([row], np.float32)
    assert probabilities_of(logits, is_multi=False).sum() == pytest.approx(1)
    each = probabilities_of(logits, is_multi=True)
    assert ((each >= 0) & (each <= 1)).all() and np.isfinite(each).all()
