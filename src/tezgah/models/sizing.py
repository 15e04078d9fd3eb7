"""A model's size as one number: the ladder of shapes, and a number of parameters as recipes write it."""

import re

import msgspec

from tezgah.models.settings import ModelSettings

AUTO = "auto"
DEPTHS = range(2, 65)
WIDTH_PER_BLOCK = 64  # nanochat's aspect ratio; GPT-2's small has it too
UNITS = {"k": 10**3, "m": 10**6, "b": 10**9}
SHAPING = ("n_layers", "width", "n_heads", "n_kv_heads", "head_dim", "mlp_width")  # fields that a chosen size settles


def at_depth(settings: ModelSettings, depth: int) -> ModelSettings:
    """The same settings with a rung of the ladder for their size: width 64 × depth, heads of 64.

    One number for the shape, as in nanochat (Karpathy 2025, `base_train.py`: width = 64 × depth); named sizes lie on
    the same line.

    >>> small = at_depth(ModelSettings(size="auto"), 12)
    >>> small.size, small.n_layers, small.width, small.n_heads
    ('', 12, 768, 12)
    """
    return msgspec.structs.replace(settings, size="", n_layers=depth, width=WIDTH_PER_BLOCK * depth, n_heads=depth)


def asked_parameters(size: str) -> int | None:
    """The number of parameters that a size names, or None where it is no number.

    >>> asked_parameters("8M"), asked_parameters("1.3B"), asked_parameters("small"), asked_parameters("0M")
    (8000000, 1300000000, None, None)
    """
    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,6})?)\s?([kmb])", size.strip().lower())
    return (round(float(match[1]) * UNITS[match[2]]) or None) if match else None


def is_chosen(size: str) -> bool:
    """Whether a size stands for a shape that is found for it: "auto", or a number of parameters."""
    return size == AUTO or asked_parameters(size) is not None
