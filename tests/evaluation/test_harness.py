import json
import statistics

import pytest

from tests.evaluation.killed_tasks import SETTINGS, TASKS, go
from tezgah.evaluation.harness import harness_results
from tezgah.evaluation.task_results import summarize


def rows_of_table(result_dict, column="results"):
    """What the harness's own `make_table` reads of its results, and how it takes names apart."""
    rows = []
    for name, figures in result_dict[column].items():
        version, shots = result_dict["versions"].get(name), str(result_dict.get("n-shot", " ").get(name, " "))
        figures = dict(figures)
        shown = figures.pop("alias")
        for key, value in sorted(figures.items()):
            metric, _, filtered = key.partition(",")
            if metric.endswith("_stderr"):
                continue
            error = figures[f"{metric}_stderr,{filtered}"]
            rows.append((shown, version, filtered, shots, metric, value, error))
    return rows


def test_the_harness_finds_every_figure_with_its_error(tmp_path):
    results, _ = go(tmp_path)
    written = json.loads(json.dumps(harness_results(results, (1, 5), SETTINGS), allow_nan=False))
    summary = summarize(results, (1, 5), None)
    rows = {row[4]: row for row in rows_of_table(written)}
    assert list(rows) == ["parses", "pass@1", "pass@5"]
    assert rows["pass@1"][:4] == ("made-up", 1, "block", "0")
    rates = [sum(row.passed for row in results if row.task_id == task.task_id) / 5 for task in TASKS]
    assert rows["pass@1"][5] == pytest.approx(summary.pass_at_k[1].value)
    assert rows["pass@1"][6] == pytest.approx(statistics.stdev(rates) / 30**0.5)
    assert rows["pass@5"][5] == pytest.approx(summary.pass_at_k[5].value)
    assert rows["parses"][5] == pytest.approx(summary.parses.value)
    low, high = summary.pass_at_k[1].low, summary.pass_at_k[1].high
    assert low is not None and high is not None
    width = high - low
    assert width == pytest.approx(2 * 1.96 * rows["pass@1"][6], rel=0.15)
    assert set(written["higher_is_better"]["made-up"]) == set(rows)
    assert written["n-samples"]["made-up"] == {"original": 30, "effective": 30}


def test_one_task_alone_has_no_error(tmp_path):
    results, _ = go(tmp_path, tasks=TASKS[:1])
    assert harness_results(results, (1,), SETTINGS)["results"]["made-up"]["pass@1_stderr,block"] == "N/A"
