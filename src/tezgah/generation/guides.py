"""Completions of a given form: a regular expression, or JSON of a schema.

`llguidance`, an extra, tells which tokens may come next. It is one wheel without dependencies, reads tokenizer.json
itself, and works as it goes, where others first build a table over the whole vocabulary.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from tezgah.errors import InputError
from tezgah.generation.settings import GenerationSettings

if TYPE_CHECKING:
    from tezgah.tokenizer.tokenizer import Tokenizer


class Guide:
    """Which tokens may come next in one row; end-of-text only where the form is whole."""

    def __init__(self, matcher: Any, vocab_size: int) -> None:
        self._matcher, self._vocab_size = matcher, vocab_size

    def allowed(self) -> Tensor:
        """Whether each id may come next, (vocab_size,)."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        allowed = np.unpackbits(bits, bitorder="little")[: self._vocab_size]  # (vocab_size,)
        return torch.from_numpy(allowed).bool()

    def add(self, new_id: int) -> None:
        """Take the row's next id."""
        self._matcher.consume_token(new_id)


def guides(tokenizer: "Tokenizer", settings: GenerationSettings) -> Callable[[int], Guide] | None:
    """What makes a guide for a row; None where `settings` ask for no form.

    Raises InputError for a form that cannot be read, for two, for what does not go with one, for a tokenizer that
    `llguidance` does not read, and without `llguidance`.
    """
    if not settings.regex and not settings.json_schema:
        return None
    if settings.regex and settings.json_schema:
        raise InputError("a completion has one form: give regex or json_schema, not both.")
    if settings.no_repeat_ngram or settings.num_beams > 1:
        raise InputError("regex and json_schema go with neither no_repeat_ngram nor num_beams. Leave these out.")
    try:
        from llguidance import LLMatcher, LLTokenizer
    except ImportError:
        raise InputError("regex and json_schema need llguidance: pip install 'tezgah[constrained]'.") from None
    name = "regex" if settings.regex else "json_schema"
    try:
        form = LLMatcher.grammar_from_regex(settings.regex) if settings.regex else _schema(LLMatcher, settings)
        wrong = LLMatcher.validate_grammar(form)
    except ValueError as error:
        wrong = str(error)
    if wrong:
        raise InputError(f"{name} cannot be read: {' '.join(wrong.split())}.")
    try:
        held = LLTokenizer(tokenizer.json, n_vocab=tokenizer.vocab_size, eos_token=tokenizer.separator_id)
    except ValueError as error:
        raise InputError(
            f"{name}: llguidance does not read this model's tokenizer ({' '.join(str(error).split())}). Take a model "
            "with a byte-level one."
        ) from None
    return lambda place: Guide(LLMatcher(held, form), tokenizer.vocab_size)


def _schema(matcher: Any, settings: GenerationSettings) -> str:
    form: str = matcher.grammar_from_json_schema(settings.json_schema)
    return form
