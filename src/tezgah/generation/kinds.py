"""Which models go on from a text, and which fill masks."""

from typing import Any

from tezgah.errors import InputError


def check_causal(model: Any, name: str) -> None:
    """Raise InputError, beginning with `name`, for a model that does not go on from a text."""
    if _classifies(model):
        raise InputError(f"{name}: is a classifier of texts, and does not go on from one. Use `tezgah classify`.")
    if not hasattr(model, "next_logits"):
        mend = " Use `tezgah fill`." if fills_masks(model) else ""
        raise InputError(f"{name}: a {model.config.family} looks both ways; it does not go on from a text.{mend}")


def check_masked(model: Any, name: str) -> None:
    """Raise InputError, beginning with `name`, for a model that does not fill masks."""
    if _classifies(model):
        raise InputError(f"{name}: is a classifier of texts, and fills no masks. Use `tezgah classify`.")
    if hasattr(model, "next_logits"):
        raise InputError(
            f"{name}: a {model.config.family} goes on from a text; it fills no masks. Use `tezgah generate`."
        )
    if not fills_masks(model):
        raise InputError(
            f"{name}: has no masked-LM head. Give a folder saved from a model for masked language modelling."
        )


def fills_masks(model: Any) -> bool:
    """Whether a model has a masked-LM head."""
    return getattr(model, "masked_head", None) is not None


def _classifies(model: Any) -> bool:
    return getattr(model, "classifier", None) is not None
