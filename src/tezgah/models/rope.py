"""Rotary positions in a `config.json`: `rope_parameters`, and the two fields older files have for it."""

import math
from typing import Any

from tezgah.nn.config import Rope

# What each kind of scaling needs and may have, by its name on disk; ours beside it.
KINDS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "default": ({}, {}),
    "linear": ({"factor": "factor"}, {}),
    "dynamic": ({"factor": "factor"}, {}),
    "llama3": (
        {"factor": "factor", "low_freq_factor": "low_frequency_factor", "high_freq_factor": "high_frequency_factor"},
        {"original_max_position_embeddings": "original_length"},
    ),
    "yarn": (
        {"factor": "factor"},
        {
            "original_max_position_embeddings": "original_length",
            "attention_factor": "attention_factor",
            "beta_fast": "beta_fast",
            "beta_slow": "beta_slow",
            "truncate": "truncate",
        },
    ),
}


def rope_of(fields: dict[str, Any], context_length: int) -> Rope:
    """The rotary positions of a configuration. Raises ValueError for a kind that is not computed here."""
    if fields.get("partial_rotary_factor") not in (None, 1, 1.0):
        raise ValueError("partial_rotary_factor")
    stated = {**(fields.get("rope_scaling") or {}), **(fields.get("rope_parameters") or {})}
    stated.setdefault("rope_theta", fields.get("rope_theta", 10_000.0))
    kind = stated.pop("rope_type", None) or stated.pop("type", None) or "default"
    stated.pop("type", None)
    if kind not in KINDS:
        raise ValueError(f"rope_type {kind!r}")
    needed, possible = KINDS[kind]
    theta = _number("rope_theta", stated.pop("rope_theta"))
    if kind == "yarn" and theta <= 1:
        raise TypeError("rope_parameters.rope_theta")
    if stated.pop("partial_rotary_factor", None) not in (None, 1, 1.0):
        raise ValueError("partial_rotary_factor")
    known = needed | possible
    given = {known[name]: _number(name, value) for name, value in stated.items() if name in known and value is not None}
    if missing := [name for name, ours in needed.items() if ours not in given]:
        raise KeyError(f"rope_parameters.{missing[0]}")
    if kind == "yarn" and (stated.get("mscale") or stated.get("mscale_all_dim")):
        given.setdefault("attention_factor", _yarn_factor(given["factor"], stated))
    elif kind == "yarn":
        given.setdefault("attention_factor", _turned_up(given["factor"], 1.0))
    if kind in ("llama3", "yarn"):
        stated_length = fields.get("original_max_position_embeddings") or given.get("original_length", context_length)
        given["original_length"] = max(1, int(stated_length))
    return Rope(theta=theta, scaling="none" if kind == "default" else kind, **given)  # type: ignore[arg-type]


def rope_fields(rope: Rope) -> dict[str, Any]:
    """`rope_parameters` as `transformers` reads them."""
    kind = "default" if rope.scaling == "none" else rope.scaling
    needed, possible = KINDS[kind]
    return {"rope_type": kind, "rope_theta": rope.theta} | {
        name: getattr(rope, ours) for name, ours in (needed | possible).items()
    }


def _number(name: str, value: Any) -> Any:
    """The value, if it is a finite positive number or a truth."""
    if name == "truncate" and isinstance(value, bool):
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and math.isfinite(value) and value > 0:
        return value
    raise TypeError(f"rope_parameters.{name}")


def _turned_up(factor: float, scale: float) -> float:
    """How much larger YaRN makes queries and keys (Peng et al. 2023, eq. 22)."""
    return 0.1 * scale * math.log(factor) + 1.0 if factor > 1 else 1.0


def _yarn_factor(factor: float, stated: dict[str, Any]) -> float:
    if not (stated.get("mscale") and stated.get("mscale_all_dim")):
        return _turned_up(factor, 1.0)
    one, all_of_it = (_number(name, stated[name]) for name in ("mscale", "mscale_all_dim"))
    return _turned_up(factor, one) / _turned_up(factor, all_of_it)
