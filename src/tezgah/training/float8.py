"""Training with products in fp8, by torchao: tensorwise scaling, computed anew at every product.

Weights stay fp32 parameters under their own names, so that the optimizer, checkpoints and folders are what they
are without. Readings and samples use plain products: they measure the model that is written.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from tezgah.errors import InputError
from tezgah.training.place import Place

OLDEST = (8, 9)  # compute capability that multiplies fp8: Ada, Hopper and later
MULTIPLE = 16  # of both sides of a matrix


def check_float8(place: Place) -> None:
    """Raise InputError where there is no hardware for it, or no torchao, which is not imported."""
    if place.device.type != "cuda" or torch.cuda.get_device_capability(place.device) < OLDEST:
        raise InputError(
            f'[train] precision = "fp8" needs a GPU that multiplies fp8 (compute capability {OLDEST[0]}.{OLDEST[1]} or '
            f'later, as H100 has it); here is {place.environment()["device"]}. Use "auto".'
        )
    if find_spec("torchao") is None:
        raise InputError(
            '[train] precision = "fp8": torchao is not installed. `pip install \'tezgah[fp8]\'`, or use "bf16".'
        )


@contextmanager
def multiplying_in_float8(model: nn.Module, emulated: bool = False) -> Iterator[None]:
    """Let the blocks' matrices of `model` multiply in fp8 where it trains, while the block runs.

    Not those with a side that is no multiple of 16, and never embedding or head. `emulated` computes the same in
    fp32, slowly, on any device.
    """
    from torchao.float8 import Float8LinearConfig, convert_to_float8_training

    plain = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    convert_to_float8_training(model, config=Float8LinearConfig(emulate=emulated), module_filter_fn=_is_hidden)
    try:
        yield
    finally:
        for name, module in plain.items():
            low: Any = model.get_submodule(name)
            module.weight, module.bias, module.training = low.weight, low.bias, low.training
            model.set_submodule(name, module)


def _is_hidden(module: Any, name: str) -> bool:
    sides = module.in_features, module.out_features
    return ".blocks." in f".{name}" and all(side % MULTIPLE == 0 for side in sides)
