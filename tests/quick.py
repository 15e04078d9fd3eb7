"""Tiny runs without what takes longer than they do and is tested elsewhere: the matrix rate, and drawing the report."""

import dataclasses
from pathlib import Path

import pytest

from tezgah import pipeline

_real = pipeline.real_stations


def leave_out(patch: pytest.MonkeyPatch) -> None:
    """While the patch lasts, the matrix rate of this machine is a constant and reports are empty."""
    patch.setattr("tezgah.training.loop.matrix_rate", lambda place: 1e12)
    patch.setattr(pipeline, "real_stations", quick_stations)


def quick_stations(is_profiled: bool = False) -> pipeline.Stations:
    """The rooms' own work, but for the report."""
    return dataclasses.replace(_real(is_profiled), report=_empty_report)


def _empty_report(run: Path) -> None:
    (run / "report.html").write_text("")


# The same in a process of its own, before what it does.
LEAVING_OUT = """
import dataclasses
from tezgah import pipeline
from tezgah.training import loop
loop.matrix_rate = lambda place: 1e12
real = pipeline.real_stations
empty = lambda run: (run / "report.html").write_text("")
pipeline.real_stations = lambda is_profiled=False: dataclasses.replace(real(is_profiled), report=empty)
"""
