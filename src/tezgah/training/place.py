"""Where training happens: device, precision, threads, compiler."""

import os
import platform
import shutil
import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tezgah.console import warn
from tezgah.cores import available_cores
from tezgah.errors import InputError
from tezgah.nn.precision import multiplies_bf16_faster
from tezgah.training.settings import TrainTable

TF32 = (8, 0)  # compute capability from which fp32 products can be done in it

# What products are done in; fp8 is for hidden matrices alone, the rest is then bf16.
A_MOMENT = 0.1  # seconds
AUTOCAST = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16, "fp8": torch.bfloat16}


@dataclass(frozen=True)
class Place:
    """A device and how its arithmetic is done; `autocast` is None in full precision.

    With `float8` the products of hidden matrices are done in it, and the rest as `autocast` says.
    """

    device: torch.device
    autocast: torch.dtype | None
    threads: int
    compiled: bool
    float8: bool = False

    @property
    def matrix_dtype(self) -> torch.dtype:
        """The precision of matrix products."""
        return self.autocast or torch.float32

    def precision(self) -> torch.autocast:
        """A context in which matrix products run in this place's precision."""
        dtype = self.autocast or torch.bfloat16
        return torch.autocast(self.device.type, dtype=dtype, enabled=self.autocast is not None)

    def tensors(self, *arrays: NDArray[np.int64]) -> tuple[torch.Tensor, ...]:
        """The arrays on the device."""
        return self.moved(*map(torch.from_numpy, arrays))

    def moved(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The tensors on the device; from pinned memory a GPU copies them while it computes."""
        return tuple(tensor.to(self.device, non_blocking=True) for tensor in tensors)

    def environment(self) -> dict[str, str | int]:
        """What the bits of a result depend on besides the recipe."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else platform.machine()
        return {
            "torch": str(torch.__version__),
            "device": f"{self.device.type} {name}",
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "threads": self.threads,
            "precision": self._precision_name(),
            "compiled": int(self.compiled),
        }

    def _precision_name(self) -> str:
        if self.float8:
            return "float8"
        if (
            self.autocast is None
            and self.device.type == "cuda"
            and torch.cuda.get_device_capability(self.device) >= TF32
        ):
            return "tfloat32"
        return str(self.matrix_dtype).removeprefix("torch.")


def choose_place(settings: TrainTable, local_rank: int = 0) -> Place:
    """The place that `settings` name, or the best one here where they say "auto".

    Raises InputError when the device asked for is not there.
    """
    here = devices()
    kind = here[0] if settings.device == "auto" else settings.device
    if kind not in here:
        raise InputError(f'[train] device = "{kind}": there is none here. Use "auto" or "cpu".')
    device = torch.device(kind, local_rank) if kind == "cuda" else torch.device(kind)
    threads = settings.threads or available_cores()
    torch.set_num_threads(threads)
    precision = settings.precision
    if precision == "auto":
        precision = "bf16" if multiplies_bf16_faster(kind) else "fp32"
    if precision == "fp16" and kind == "cpu":
        warn('[train] precision = "fp16" is for GPUs without bf16; a CPU multiplies it slowly. Use "auto".')
    if kind == "cuda":  # fp32 products of fp32 sums in TF32, where the GPU has it; torch.compile reads this setting
        torch.set_float32_matmul_precision("high")
    return Place(device, AUTOCAST[precision], threads, settings.compile and _compiles(kind), precision == "fp8")


def devices() -> tuple[str, ...]:
    """The kinds of device that are here, the best first."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return tuple(kind for kind, is_there in there.items() if is_there)


def _compiles(kind: str) -> bool:
    """Whether torch.compile works here; says so where it does not, and training goes on without."""
    if kind == "mps":
        warn("training runs uncompiled, which is slower: tezgah compiles for cpu and cuda, not for mps.")
        return False
    compiler = os.environ.get("CXX") or next(filter(shutil.which, ("g++", "clang++", "c++")), None)
    if kind == "cpu" and compiler is None:
        warn("training runs uncompiled, which is slower: there is no C++ compiler here.")
        return False
    try:
        torch.compile(torch.sin)(torch.ones(2, device=kind))
    except Exception as error:  # noqa: BLE001  whatever the compiler raises, training can do without it
        warn(f"training runs uncompiled, which is slower: torch.compile failed ({str(error).splitlines()[0]}).")
        return False
    return True


def matrix_rate(place: Place) -> float:
    """The best rate of a square matrix product here, n = 1,024, 2,048, 4,096, in FLOP/s.

    A larger one is tried only where a device is done with one in a moment: a GPU is not yet busy with the first, two
    cores are, and eight times the work would tell the same after eight times as long.
    """
    best = 0.0
    for n in (1024, 2048, 4096):
        a = torch.ones(n, n, device=place.device, dtype=place.matrix_dtype)
        seconds = min(_timed_product(a) for _ in range(3))
        best = max(best, 2 * n**3 / seconds)
        if seconds > A_MOMENT:
            break
    return best


def _timed_product(a: torch.Tensor) -> float:
    start = time.perf_counter()
    product = a @ a
    float(product[0, 0])  # waits for an asynchronous device
    return max(1e-9, time.perf_counter() - start)  # a clock may be set back
