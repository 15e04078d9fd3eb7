import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread

from tezgah.errors import InputError
from tezgah.training.curves import draw_curves, names, run_figure, runs_figure
from tezgah.training.metrics import Row, read_metrics, seconds_below, thin
from tezgah.training.record import read_record


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_runs_lie_over_one_another_under_their_folders_names(make_run):
    runs = [make_run(name, steps=40) for name in ("muon", "adamw", "_a$b$c")]
    figure = runs_figure(dict(zip(names(runs), map(read_record, runs), strict=True)))
    assert legend_of(figure) == ["muon", "adamw", "./_a$b$c", "gzip -9", "xz -9e", "xz -9e, primed"]
    for axes in figure.axes:
        assert re.search(r"\(.+\)", axes.get_xlabel())
        assert re.search(r"\(.+\)", axes.get_ylabel())
        looks = {
            (line.get_color(), line.get_marker())
            for line in axes.get_lines()
            if line.get_label() in ("muon", "adamw", "./_a$b$c")
        }
        assert len(looks) == 3
    x, y = figure.axes[0].get_lines()[1].get_data()
    rows = [row for row in read_metrics(runs[0]) if row.validation_loss is not None]
    assert np.array(x).tolist() == [row.tokens for row in rows]
    assert np.array(y).tolist() == [row.validation_loss for row in rows]


def test_compressors_are_drawn_only_where_all_runs_were_held_to_the_same(make_run):
    runs = {name: make_run(name, steps=20) for name in ("one", "two")}
    evaluation = json.loads((runs["two"] / "evaluation.json").read_text())
    evaluation["baselines"]["xz"] = 1.4
    (runs["two"] / "evaluation.json").write_text(json.dumps(evaluation))
    assert legend_of(runs_figure({name: read_record(run) for name, run in runs.items()})) == ["one", "two"]


def test_runs_of_different_length_share_one_unit_of_time(make_run):
    short, long = make_run("short", steps=20), make_run("long", steps=20)
    rows = [json.loads(line) for line in (long / "metrics.jsonl").read_text().splitlines()]
    lines = [json.dumps(row | {"seconds": row["seconds"] * 100}) + "\n" for row in rows]  # 10 hours
    (long / "metrics.jsonl").write_text("".join(lines))
    figure = runs_figure({"short": read_record(short), "long": read_record(long)})
    by_time = figure.axes[3]
    assert by_time.get_xlabel() == "training time (hours)"
    ends = {line.get_label(): np.max(line.get_xdata()) for line in by_time.get_lines()[:2]}
    assert ends["short"] == pytest.approx(0.1, rel=0.01)
    assert ends["long"] == pytest.approx(10, rel=0.01)


def test_one_run_shows_both_splits_and_the_compressors(run):
    loss, bits = run_figure(read_record(run)).axes
    for axes, labels in (
        (loss, ["training, each step", "training, evaluated", "validation"]),
        (bits, ["model", "gzip -9", "xz -9e", "xz -9e, primed"]),
    ):
        legend = axes.get_legend()
        assert legend
        assert [text.get_text() for text in legend.get_texts()] == labels


@pytest.mark.parametrize(("suffix", "first"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".PDF", b"%PDF")])
def test_the_picture_is_of_the_kind_that_its_name_says(make_run, tmp_path, suffix, first):
    runs, picture = [make_run("one", steps=20), make_run(r"$\no$", steps=30)], tmp_path / f"curves{suffix}"
    draw_curves(runs, picture)
    assert picture.read_bytes().startswith(first)


def test_an_unfinished_run_lies_beside_a_finished_one(make_run, tmp_path):
    runs = [make_run("done", steps=20), make_run("begun", steps=20)]
    first = (runs[1] / "metrics.jsonl").read_text().splitlines(keepends=True)[0]
    (runs[1] / "metrics.jsonl").write_text(first + '{"step": 1, "lo')
    (runs[1] / "evaluation.json").unlink()
    draw_curves(runs, tmp_path / "both.png")
    assert imread(tmp_path / "both.png").shape[1] == 1760


def test_what_cannot_be_drawn_is_one_clear_line(run, tmp_path):
    with pytest.raises(InputError, match=r"\.png, \.svg or \.pdf"):
        draw_curves([run], tmp_path / "curves.jpg")
    with pytest.raises(InputError, match="No run was given"):
        draw_curves([], tmp_path / "curves.png")
    with pytest.raises(InputError, match="holds neither"):
        draw_curves([run, tmp_path], tmp_path / "curves.png")
    (run / "metrics.jsonl").write_text("")
    with pytest.raises(InputError, match="holds no row yet"):
        draw_curves([run], tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()


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
