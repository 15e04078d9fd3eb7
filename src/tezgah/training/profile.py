"""Where a step's time goes: torch's profiler over a few steps of a training, told in plain words.

Every operation has a range of time; what of it is not spent in operations inside it is its own. An operation's own time
goes to one part: to the range that it lies in (the optimizer, the loss …), else to what its name says it is. So the
parts sum to the step. On a GPU the own time is that of the kernels it started, and what is left of the step is the
GPU's waiting.
"""

import gzip
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch._C._autograd import DeviceType
from torch.autograd.profiler_util import FunctionEvent

from tezgah.errors import InputError
from tezgah.files import atomic_folder, write_text
from tezgah.nn.cross_entropy import LOSS
from tezgah.training.budget import Plan
from tezgah.training.place import Place

ALONE, WARM_UP, PROFILED = 4, 1, 5  # steps: left alone at least (the first compiles), thrown away, profiled
LARGE_BYTES = 10_000_000  # of a trace; a larger one is compressed

# Ranges that the loop records; LOSS is one more.
DATA, CLIP, READ = "data", "gradient clipping", "readings and checkpoints"

PRODUCTS, ATTENTION, OPTIMIZER, ELEMENTWISE, OTHER = "matrix products", "attention", "optimizer", "elementwise", "other"
PARTS = {  # in the order of the table
    PRODUCTS: "linear layers of the blocks, forward and backward",
    ATTENTION: "its products and its softmax",
    LOSS: "the product with the vocabulary and the cross-entropy, forward and backward",
    ELEMENTWISE: "norms, activations, rotations, sums, conversions, copies, the embedding",
    OPTIMIZER: "the update of the weights, with Muon's products",
    CLIP: "the gradient's norm, and scaling it down",
    DATA: "reading sequences and moving them to the device",
    READ: "metrics, readings, samples and checkpoints that fell into these steps",
    OTHER: "Python between the operations; on a GPU its waiting",
}
BATCHED = ("aten::bmm", "aten::baddbmm")  # in a block only attention has such products
MULTIPLIES = ("aten::mm", "aten::addmm", *BATCHED)
SOFTMAX = frozenset({"exp", "amax", "log", "softmax"})  # one of them is in the name of a compiled kernel of attention


@dataclass
class Cost:
    """What a part takes of a step: seconds, and floating-point operations in matrix products."""

    seconds: float = 0.0
    flops: float = 0.0


def naming_kernels(is_wanted: bool) -> AbstractContextManager[object]:
    """While it lasts, compiled CPU kernels are made so that a profiler sees each by its name; their numbers stay."""
    if not is_wanted:
        return nullcontext()
    import torch._inductor.config

    return torch._inductor.config.patch({"cpp.enable_kernel_profile": True})  # type: ignore[no-any-return]


@contextmanager
def profiled(
    folder: Path | None, step: int, plan: Plan, tokens: int, rate: float, place: Place
) -> Iterator[Callable[[], None]]:
    """What the loop calls after every step; some steps on, `trace.json` and `step.md` are written into `folder`.

    `step` is where the training stands, `tokens` are those of a step, `rate` is the matrix rate in FLOP/s. Without a
    folder nothing is profiled. Raises InputError where too few steps are left.
    """
    if folder is None:
        yield lambda: None
        return
    alone = _left_alone(step, plan)
    ends = [time.perf_counter()]  # of the steps so far

    def write(profiler: torch.profiler.profile) -> None:
        if len(ends) <= alone + WARM_UP + PROFILED:
            return  # stopped before
        seconds = statistics.median(end - start for start, end in pairwise(ends[1 : alone + 1]))
        costs = costs_of(profiler.events(), place.device.type == "cuda")  # type: ignore[no-untyped-call]
        _write(folder, profiler, page(costs, seconds, tokens, rate, place))

    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # it would tell the terminal when it starts and ends
    schedule = torch.profiler.schedule(wait=alone, warmup=WARM_UP, active=PROFILED, repeat=1)
    with torch.profiler.profile(schedule=schedule, on_trace_ready=write, with_flops=True) as profiler:

        def stepped() -> None:
            ends.append(time.perf_counter())
            profiler.step()

        yield stepped


def _left_alone(step: int, plan: Plan) -> int:
    """How many steps to leave alone: a few more than need be where no reading falls into the profiled ones then.

    >>> _left_alone(0, Plan(steps=100, reading_steps=10)), _left_alone(0, Plan(steps=10, reading_steps=1))
    (9, 4)
    """
    left = plan.steps - step
    if left < ALONE + WARM_UP + PROFILED:
        raise InputError(
            f"--profile needs {ALONE + WARM_UP + PROFILED} steps, and {max(0, left)} are left of this training. "
            "Give it a larger budget, or leave --profile out."
        )
    for alone in range(ALONE, min(ALONE + plan.reading_steps, left - WARM_UP - PROFILED)):
        first = step + alone + WARM_UP + 1
        if all(number % plan.reading_steps for number in range(first, first + PROFILED)):
            return alone
    return ALONE


def costs_of(events: Sequence[FunctionEvent], on_gpu: bool) -> dict[str, Cost]:
    """The mean cost of a step, part by part, of the profiled events of some steps."""
    steps = [event for event in events if event.name == "ProfilerStep*" and not _is_on_device(event)]
    costs = {part: Cost() for part in PARTS}
    losses = {
        event.sequence_nr for event in events if event.sequence_nr >= 0 and event.scope == 0 and _is_within(event, LOSS)
    }
    roots = [event for event in events if event.cpu_parent is None and not event.is_async and not _is_on_device(event)]
    found = [(event, OTHER) for event in (roots if on_gpu else steps)]
    while found:
        event, around = found.pop()
        part = _part(event, around, losses)
        own = event.self_device_time_total if on_gpu else event.self_cpu_time_total  # microseconds
        costs[part].seconds += own / 1e6 / len(steps)
        costs[part].flops += (event.flops or 0) / len(steps) if event.name in MULTIPLIES else 0
        found += ((child, part) for child in event.cpu_children)
    if on_gpu:
        step = sum(event.cpu_time_total for event in steps) / 1e6 / len(steps)
        costs[OTHER].seconds += max(0.0, step - sum(cost.seconds for cost in costs.values()))
    return costs


def _part(event: FunctionEvent, around: str, losses: set[int]) -> str:
    """The part that an event's own time belongs to, given that of the event around it."""
    name = event.name
    if around not in (OTHER, ELEMENTWISE):
        return around
    if name in (DATA, CLIP, READ, LOSS):
        return name
    if name.startswith("Optimizer."):
        return OPTIMIZER
    if name.startswith("autograd::engine::evaluate_function") and event.sequence_nr in losses:
        return LOSS
    if name in BATCHED or "scaled_dot_product" in name or "ScaledDotProduct" in name:
        return ATTENTION
    if name in MULTIPLIES:
        return PRODUCTS
    if "cpp_fused" in name or name.startswith("triton_"):
        return ATTENTION if SOFTMAX & set(name.split("_")) else ELEMENTWISE
    return ELEMENTWISE if name.startswith(("aten::", "## Call CompiledFxGraph")) else around


def _is_within(event: FunctionEvent, name: str) -> bool:
    inner: FunctionEvent | None = event
    while inner is not None and inner.name != name:
        inner = inner.cpu_parent
    return inner is not None


def _is_on_device(event: FunctionEvent) -> bool:
    return event.device_type != DeviceType.CPU


def page(costs: dict[str, Cost], seconds: float, tokens: int, rate: float, place: Place) -> str:
    """`step.md`: the table of a step's parts; `seconds` are those of a step without the profiler."""
    whole = Cost(sum(cost.seconds for cost in costs.values()), sum(cost.flops for cost in costs.values()))
    environment = place.environment()
    how = "compiled" if place.compiled else "uncompiled"
    rows = [("part", "ms", "share", "GFLOP/s", "of the matrix rate"), ("---", "---:", "---:", "---:", "---:")]
    for name, cost in [*costs.items(), ("**a step**", whole)]:
        reached = cost.flops / cost.seconds if cost.seconds else 0.0
        rates = (f"{reached / 1e9:,.0f}", f"{reached / rate:.0%}") if cost.flops else ("", "")
        rows.append((name, f"{1e3 * cost.seconds:,.2f}", f"{cost.seconds / whole.seconds:.1%}", *rates))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["| " + " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) + " |" for row in rows]
    meanings = [f"- {name}: {meaning}" for name, meaning in PARTS.items()]
    head = (
        f"A step of {tokens:,} tokens takes {1e3 * whole.seconds:,.1f} ms, the mean of {PROFILED}; "
        f"without the profiler {1e3 * seconds:,.1f} ms. {place.device.type}, {environment['precision']}, {how}, "
        f"{place.threads} thread{'s' if place.threads > 1 else ''}; matrix rate {rate / 1e9:,.0f} GFLOP/s."
    )
    return "\n".join(["# Where a step's time goes", "", head, "", *table, "", *meanings, ""])


def _write(folder: Path, profiler: torch.profiler.profile, text: str) -> None:
    with atomic_folder(folder) as made:
        trace = made / "trace.json"
        profiler.export_chrome_trace(str(trace))
        if trace.stat().st_size > LARGE_BYTES:
            with open(trace, "rb") as plain, gzip.open(made / "trace.json.gz", "wb", compresslevel=6) as packed:
                shutil.copyfileobj(plain, packed)
            trace.unlink()
        write_text(made / "step.md", text)
