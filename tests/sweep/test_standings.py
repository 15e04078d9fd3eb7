"""Which point is best, by what, and whether one should look further."""

from pathlib import Path
from typing import Any

import pytest

from tezgah.sweep.record import PointRecord, SweepRecord
from tezgah.sweep.standings import measure_of, standing, text


def point(loss: float | None, state: str = "done", bits: float | None = 2.0, **settings: Any) -> PointRecord:
    named = {key.replace("__", "."): value for key, value in settings.items()}
    figures: dict[str, Any] = {"validation_loss": loss, "bits_per_byte": bits, "step": 5, "steps": 10, "minutes": 1.0}
    return PointRecord(
        folder=",".join(map(str, named.values())),
        settings=named,
        state=state,  # type: ignore[arg-type]
        reason=None if state in ("done", "unfinished") else "Why.",
        **(figures if state == "done" else {}),
    )


def sweep(*points: PointRecord, **shared: Any) -> SweepRecord:
    return standing(
        SweepRecord(over={}, shared={key.replace("__", "."): v for key, v in shared.items()}, points=list(points))
    )


def edges(*points: PointRecord) -> list[tuple[str, str, float]]:
    return [(edge.field, edge.direction, edge.next) for edge in sweep(*points).edges]


def rates(**losses: float | str) -> list[PointRecord]:
    """Points along the learning rate, `r1e3=2.5`; a text is a state."""
    return [
        point(
            None if isinstance(loss, str) else loss, loss if isinstance(loss, str) else "done", train__learning_rate=r
        )
        for name, loss in losses.items()
        for r in [float(name[1:].replace("e", "e-"))]
    ]


def test_the_lowest_validation_loss_is_first_and_what_is_not_done_is_last() -> None:
    found = sweep(*rates(r1e1="unfinished", r1e2="diverged", r1e3=3.0, r1e4=2.0, r1e5="failed"))
    assert [each.folder for each in found.points] == ["0.0001", "0.001", "0.01", "1e-05", "0.1"]
    assert (found.measure, found.best) == ("validation_loss", "0.0001")


def test_points_with_other_tokens_are_compared_by_bits_per_byte() -> None:
    small, large = point(2.0, bits=1.9, tokenizer__vocab_size=300), point(3.0, bits=1.8, tokenizer__vocab_size=900)
    found = sweep(small, large)
    assert (found.measure, found.best) == ("bits_per_byte", "900")
    assert "with tokenizer.vocab_size losses are of other tokens" in text(Path("s"), found)


@pytest.mark.parametrize("field", ["train.seed", "train.batch_size", "model.context_length", "corpus.source"])
def test_what_changes_the_tokens_of_a_reading_changes_the_measure(field: str) -> None:
    assert measure_of(["train.learning_rate", field]) == "bits_per_byte"


def test_the_best_at_an_end_of_the_grid_says_where_to_look_further() -> None:
    assert edges(*rates(r4e3=2.0, r2e3=2.5, r1e3=3.0)) == [("train.learning_rate", "up", 0.008)]
    assert edges(*rates(r4e3=3.0, r2e3=2.5, r1e3=2.0)) == [("train.learning_rate", "down", 0.0005)]
    assert edges(*rates(r4e3=3.0, r2e3=2.0, r1e3=2.5)) == []
    assert edges(*rates(r4e3=3.0)) == []


def test_a_value_that_diverged_was_tried_and_one_that_failed_was_not() -> None:
    assert edges(*rates(r4e3="diverged", r2e3=2.0, r1e3=2.5)) == []
    assert edges(*rates(r4e3="failed", r2e3=2.0, r1e3=2.5)) == [("train.learning_rate", "up", 0.004)]
    assert edges(*rates(r4e3="unfinished", r2e3=2.0, r1e3=2.5)) == [("train.learning_rate", "up", 0.004)]


def test_each_field_is_looked_at_where_the_others_are_the_bests() -> None:
    losses = {(0.1, 8): 3.0, (0.1, 16): 2.0, (0.2, 8): 1.5, (0.2, 16): 2.5, (0.4, 16): 2.6}
    points = [point(loss, train__decay_ratio=rate, model__width=width) for (rate, width), loss in losses.items()]
    assert edges(*points) == [("train.decay_ratio", "up", 0.4), ("model.width", "down", 4)]


def test_where_a_field_ends_or_has_no_direction_there_is_nowhere_to_look() -> None:
    assert edges(point(1.0, train__decay_ratio=1.0), point(2.0, train__decay_ratio=0.5)) == []
    assert edges(point(1.0, model__n_layers=1), point(2.0, model__n_layers=2)) == []
    assert edges(point(1.0, train__seed=1), point(2.0, train__seed=2)) == []
    assert edges(point(1.0, model__tied=True), point(2.0, model__tied=False)) == []
    assert edges(point(1.0, model__n_heads=None), point(2.0, model__n_heads=2)) == []
    assert edges(point(1.0, train__weight_decay=0.0), point(2.0, train__weight_decay=0.1)) == []


def test_the_table_says_all_of_it() -> None:
    shown = text(Path("runs/s"), sweep(*rates(r1e2="diverged", r3e3=2.0, r1e3=2.5), train__minutes=2.0))
    assert shown.splitlines() == [
        "learning_rate  validation loss  bits per byte  at step  minutes",
        "        0.003           2.0000         2.0000  5 of 10      1.0  best",
        "        0.001           2.5000         2.0000  5 of 10      1.0",
        "         0.01                –              –        –        –  diverged",
        "",
        "Compared by validation loss, each point at its best reading.",
        "Compared at equal time, 2 minutes of training each, not at equal steps or tokens.",
        "0.01: diverged. Why.",
        "best  runs/s/0.003",
    ]
    assert "say --over train.learning_rate=0.002,0.004" in text(Path("s"), sweep(*rates(r1e3=3.0, r2e3=2.5)))
