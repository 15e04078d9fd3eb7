"""What all benchmarks share: medians with their spread, the conditions of a measurement, where results go."""

import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tezgah.files import write_json, write_text
from tezgah.runlog import git_state, versions

FORMAT = 1
RESULTS = Path(__file__).parent / "results"
REPOSITORY = Path(__file__).parents[1]


@dataclass(frozen=True)
class Spread:
    """Some measurements of one thing: their median, and the lowest and highest of them."""

    median: float
    low: float
    high: float

    def text(self, digits: int = 0) -> str:
        """
        >>> spread([1100, 1200, 900]).text(), spread([1.5, 1.25, 2.0]).text(2)
        ('1,100 (900–1,200)', '1.50 (1.25–2.00)')
        """
        return f"{self.median:,.{digits}f} ({self.low:,.{digits}f}–{self.high:,.{digits}f})"


def spread(values: Sequence[float]) -> Spread:
    """Median, minimum and maximum."""
    return Spread(statistics.median(values), min(values), max(values))


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """
    >>> print(markdown_table(["what", "ms"], [["a", "1"], ["b", "2"]]))
    | what | ms |
    |---|---|
    | a | 1 |
    | b | 2 |
    """
    lines = [header, *rows]
    text = [f"| {' | '.join(cells)} |" for cells in lines]
    return "\n".join([text[0], "|" + "---|" * len(header), *text[1:]])


def conditions() -> dict[str, Any]:
    """When, where and with what: the machine and how busy it was, the versions, the commit."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "cpu": _cpu_name(),
        "cores": usable,
        "load": os.getloadavg(),
        **versions(),
        "git": git_state(REPOSITORY),
    }


def write_results(
    folder: Path, name: str, title: str, table: str, result: dict[str, Any], begun: dict[str, Any]
) -> None:
    """Print the table; write it as `<name>.md` and everything as `<name>.json` into `folder`.

    `begun` are the `conditions` before the first measurement.
    """
    git, packages = begun["git"] or {"commit": "none", "changed_files": 0}, begun["packages"]
    changed = f" and {git['changed_files']} changed files" if git["changed_files"] else ""
    where = (
        f"{begun['cpu']}, {begun['cores']} cores, load {begun['load'][0]:.1f} at the start; {begun['platform']}; "
        f"Python {begun['python']}, torch {packages['torch']}; {begun['time']}, commit {git['commit'][:12]}{changed}."
    )
    write_json(folder / f"{name}.json", {"format": FORMAT, "benchmark": name, **begun, **result})
    write_text(folder / f"{name}.md", f"# {title}\n\n{table}\n\n{where}\n")
    print(f"{table}\n\n{where}")


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
