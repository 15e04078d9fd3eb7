"""Results of code tasks in the form that lm-evaluation-harness writes, for tools that read it.

There a figure is named `metric,filter`, its standard error `metric_stderr,filter`: the sample standard deviation over
tasks, divided by the square root of their number. The filter here is the rule by which samples were cut.
"""

from collections.abc import Sequence
from pathlib import PurePath
from statistics import mean, stdev
from typing import Any

from tezgah.evaluation.pass_at_k import estimate
from tezgah.evaluation.task_results import FORMAT, Result, TaskSettings


def harness_results(results: Sequence[Result], ks: Sequence[int], told: TaskSettings) -> dict[str, Any]:
    """The results of a folder as one object of the harness; its `N/A` stands for what one task alone cannot tell."""
    groups: dict[str, list[Result]] = {}
    for each in results:
        groups.setdefault(each.task_id, []).append(each)
    tasks = list(groups.values())
    by_task = {f"pass@{k}": [estimate(len(own), sum(row.passed for row in own), k) for own in tasks] for k in ks}
    by_task["parses"] = [mean(row.parses for row in own) for own in tasks]
    name, drawn = PurePath(told.tasks).name.split(".")[0], told.sampling
    figures: dict[str, Any] = {"alias": name}
    for metric, values in by_task.items():
        figures[f"{metric},{drawn.until}"] = float(mean(values))
        error = stdev(values) / len(values) ** 0.5 if len(values) > 1 else "N/A"
        figures[f"{metric}_stderr,{drawn.until}"] = error
    settings = {
        "task": name,
        "output_type": "generate_until",
        "repeats": drawn.n,
        "num_fewshot": 0,
        "generation_kwargs": {
            "do_sample": drawn.temperature > 0,
            "temperature": drawn.temperature,
            "top_p": drawn.top_p,
            "max_gen_toks": drawn.max_new_tokens,
        },
        "metric_list": [{"metric": metric, "higher_is_better": True} for metric in by_task],
        "metadata": {"tasks_hash": told.tasks_hash, "isolation": told.isolation, "until": drawn.until},
    }
    return {
        "results": {name: figures},
        "group_subtasks": {name: []},
        "configs": {name: settings},
        "versions": {name: FORMAT},
        "n-shot": {name: 0},
        "higher_is_better": {name: dict.fromkeys(by_task, True)},
        "n-samples": {name: {"original": len(tasks), "effective": len(tasks)}},
        "config": {
            "model": "tezgah",
            "model_args": {"pretrained": told.model, "hash": told.model_hash},
            "random_seed": drawn.seed,
        },
    }
