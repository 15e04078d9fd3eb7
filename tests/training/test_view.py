"""The lines below the bar."""

from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st

from tezgah.training.metrics import Row
from tezgah.training.place import Place
from tezgah.training.view import SPARKS, WIDTH, Course, View, progress_in_epochs, sparkline, told_epoch

PLACE = Place(torch.device("cpu"), None, threads=1, compiled=False)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=300))
def test_a_sparkline_is_never_longer_than_its_room(values):
    line = sparkline(values)
    assert len(line) <= WIDTH
    assert set(line) <= set(SPARKS)


def test_a_sparkline_falls_as_its_values_do():
    line = sparkline([100 * 0.97**step for step in range(200)])
    assert len(line) == WIDTH
    assert line == "".join(sorted(line, reverse=True))
    assert (line[0], line[-1]) == ("█", "▁")


def test_the_view_goes_on_from_the_rows_of_an_earlier_session():
    view = View([Row(0), Row(1, loss=8.0), Row(2, loss=4.0)], PLACE)
    first = view.lines({"step": 3, "loss": 2.0, "learning_rate": 0.003, "grad_norm": 0.5})
    assert first[0] == "█▅▁ loss"
    assert first[1].startswith("learning rate 0.003, gradient norm 0.50, memory ")
    sample = [{"prompt": "", "text": "one\n two  three"}]
    row = {"step": 4, "learning_rate": 0.003, "skipped": True, "validation_loss": 2.5, "samples": sample}
    assert view.lines(row)[0] == "█▅▁ loss, validation 2.500 at step 4"
    assert view.lines({"step": 5, "loss": 1.0, "learning_rate": 0.003, "grad_norm": 0.5})[2] == "“one two three”"


def test_a_long_course_stays_short_and_keeps_its_shape():
    course = Course()
    for step in range(100_000):
        course.add(10 * 0.9999**step)
    assert WIDTH <= len(course.means) < 2 * WIDTH
    assert course.means == sorted(course.means, reverse=True)
    course.add(float("nan"))
    assert len(course.part) < course.stretch


@given(st.integers(1, 60), st.integers(1, 7), st.integers(1, 40))
def test_epochs_and_batches_are_those_that_counting_gives(steps, batch_size, in_epoch):
    batches = -(-in_epoch // batch_size)
    epochs = -(-steps * batch_size // in_epoch)
    for step in range(1, steps + 1):
        last = step * batch_size - 1  # the number of the step's last sequence
        seen = sum(place // in_epoch == last // in_epoch for place in range(last + 1))
        told = progress_in_epochs(step, steps, batch_size, in_epoch)
        assert told == f"epoch {last // in_epoch + 1}/{epochs}, batch {-(-seen // batch_size)}/{batches}"


def test_an_epoch_is_told_only_where_it_is_known_and_one_for_all_sources():
    class Counted:
        def __init__(self, in_epoch, sources=1):
            self.in_epoch, self.sources = in_epoch, sources

        def epochs(self, count):
            return count / self.in_epoch / self.sources

    known: Any = Counted(10)
    unknown: Any = Counted(None)
    mixed: Any = Counted(10, sources=2)
    assert told_epoch(known, 3, 5, 4) == "epoch 2/2, batch 1/3, "
    assert told_epoch(unknown, 3, 5, 4) == told_epoch(mixed, 3, 5, 4) == ""
