"""Running a candidate's code so that it can neither do harm nor decide about itself.

`Sandbox` is what others use. Everything else here runs in processes of its own, with nothing but
the standard library: `worker.py` supervises, `keeper.py` is what a candidate's process is forked
from, `cell.py` is that process, `trial.py` the one that runs the test and never the candidate.
"""

from typing import TYPE_CHECKING, Any

from tezgah.evaluation.sandbox.verdict import Verdict

if TYPE_CHECKING:
    from tezgah.evaluation.sandbox.pool import Sandbox

__all__ = ["Sandbox", "Verdict"]


def __getattr__(name: str) -> Any:
    if name != "Sandbox":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tezgah.evaluation.sandbox.pool import Sandbox  # not in a worker: what it loads, every candidate pays for

    return Sandbox
