import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tezgah.training.compared import read_compared
from tezgah.training.curves import run_figure, runs_figure
from tezgah.training.figures import MARKERS
from tezgah.training.metrics import Row, column, read_metrics, seconds_below, thin
from tezgah.training.record import read_record


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def figure_over(*runs):
    return runs_figure(read_compared(runs, lambda run: False))


def test_runs_lie_over_one_another_under_their_folders_names_on_logarithmic_axes(make_run):
    runs = [make_run(name, steps=40) for name in ("muon", "adamw", "_a$b$c", "x" * 40 + "y" * 40)]
    figure = figure_over(*runs)
    assert legend_of(figure) == [
        *("muon", "adamw", "./_a$b$c", "x" * 18 + "…" + "y" * 18),
        *("gzip -9", "xz -9e", "xz -9e, primed"),
    ]
    assert len(figure.axes) == 6
    for axes in figure.axes:
        assert re.search(r"\(.+\)", axes.get_xlabel())
        assert re.search(r"\(.+\)", axes.get_ylabel())
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        marked = [line for line in axes.get_lines() if line.get_marker() in list(MARKERS)]
        assert len({(line.get_color(), line.get_marker()) for line in marked}) == 4
    x, y = figure.axes[0].get_lines()[1].get_data()
    rows = [row for row in read_metrics(runs[0]) if row.validation_loss is not None and row.step]
    assert np.array(x).tolist() == [row.tokens for row in rows]
    assert np.array(y).tolist() == [row.validation_loss for row in rows]
    each = read_compared(runs, lambda run: False)[0].flops_per_token
    assert each
    over_flops = np.array(figure.axes[2].get_lines()[1].get_xdata())
    assert over_flops.tolist() == [row.tokens * each for row in rows]


def test_compressors_are_drawn_only_where_all_runs_were_held_to_the_same(make_run):
    runs = {name: make_run(name, steps=20) for name in ("one", "two")}
    evaluation = json.loads((runs["two"] / "evaluation.json").read_text())
    evaluation["baselines"]["xz"] = 1.4
    (runs["two"] / "evaluation.json").write_text(json.dumps(evaluation))
    assert legend_of(figure_over(*runs.values())) == ["one", "two"]


def test_runs_of_different_length_share_one_unit_of_time(make_run):
    short, long = make_run("short", steps=20), make_run("long", steps=20)
    rows = [json.loads(line) for line in (long / "metrics.jsonl").read_text().splitlines()]
    lines = [json.dumps(row | {"seconds": row["seconds"] * 100}) + "\n" for row in rows]  # 10 hours
    (long / "metrics.jsonl").write_text("".join(lines))
    by_time = figure_over(short, long).axes[1]
    assert by_time.get_xlabel() == "training time (hours)"
    ends = {line.get_label(): np.max(line.get_xdata()) for line in by_time.get_lines()}
    assert ends["short"] == pytest.approx(0.1, rel=0.01)
    assert ends["long"] == pytest.approx(10, rel=0.01)


def test_the_smoothed_loss_is_the_median_of_ever_longer_stretches(make_run):
    run = make_run("run", steps=3000)
    with open(run / "metrics.jsonl", "a") as file:
        file.write('{"step": 3001, "loss": NaN}\n')
    (compared,) = read_compared([run], lambda run: False)
    places, smoothed = compared.smoothed_loss
    loss = column(compared.rows, "loss")
    assert places[0] == 1
    assert smoothed[0] == loss[1]
    assert (np.diff(places) > 0).all() and 60 < len(places) <= 120
    assert smoothed[-1] == pytest.approx(np.median(loss[places[-1] - 60 : -1]), abs=0.1)
    assert np.isfinite(smoothed).all()


def test_one_run_shows_both_splits_and_the_compressors(run):
    loss, bits = run_figure(read_record(run)).axes
    for axes, labels in (
        (loss, ["training, each step", "training, evaluated", "validation"]),
        (bits, ["model", "gzip -9", "xz -9e", "xz -9e, primed"]),
    ):
        legend = axes.get_legend()
        assert legend
        assert [text.get_text() for text in legend.get_texts()] == labels


def test_a_torn_last_line_is_passed_over(run):
    whole = read_metrics(run)
    for torn in (b'{"step": 301, "lo', b"\xc3", b"\0\0\0"):
        content = (run / "metrics.jsonl").read_bytes()
        (run / "metrics.jsonl").write_bytes(content + torn)
        assert read_metrics(run) == whole
        (run / "metrics.jsonl").write_bytes(content)


@given(
    first=st.floats(1, 1e5),
    later=st.floats(1.01, 100),
    high=st.floats(1, 9),
    fall=st.floats(0.01, 5),
    at=st.floats(0, 1),
)
def test_the_crossing_is_exact_on_a_curve_that_is_straight_over_the_logarithm_of_time(first, later, high, fall, at):
    seconds = first * later ** np.arange(4)  # (readings,)
    bits = high - fall * np.log(seconds / first)
    rows = [Row(i, seconds=t, bits_per_byte=b) for i, (t, b) in enumerate(zip(seconds, bits, strict=True))]
    level = high - at * (high - bits[-1]) * 0.99
    assert seconds_below(rows, level) == pytest.approx(first * np.exp((high - level) / fall), rel=1e-6)


def test_a_curve_that_begins_below_or_never_falls_below_is_told_apart():
    rows = [Row(0, seconds=3, bits_per_byte=2.0), Row(1, seconds=5), Row(2, seconds=9, bits_per_byte=1.5)]
    assert seconds_below(rows, 2.5) == 3
    assert seconds_below(rows, 1.5) is None
    assert seconds_below([], 1.5) is None


@given(values=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=300), points=st.integers(4, 60))
def test_thinning_keeps_the_ends_the_order_and_every_extreme(values, points):
    x, y = np.arange(len(values), dtype=np.float64), np.array(values)
    thin_x, thin_y = thin(x, y, points)
    assert len(thin_x) <= max(points, 0)
    assert (np.diff(thin_x) > 0).all()
    assert y[thin_x.astype(int)].tolist() == thin_y.tolist()
    assert (thin_x[0], thin_x[-1]) == (0, len(values) - 1)
    assert (thin_y.min(), thin_y.max()) == (y.min(), y.max())
    if len(values) <= points:
        assert len(thin_x) == len(values)
