"""What the stages of a run do where its model learns to fill masks: sequences, readings, samples, evaluation."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tezgah.errors import InputError
from tezgah.files import read_json
from tezgah.recipe import Recipe

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from tezgah.evaluation.masked import MaskedEvaluation
    from tezgah.models.encoder import Encoder
    from tezgah.tokenizer.tokenizer import Tokenizer
    from tezgah.tokens.masked_sequences import FixedMasks
    from tezgah.training.place import Place
    from tezgah.training.reader import Data, Reading, Samples


def check_mask(tokenizer: "Tokenizer", where: Path | str) -> None:
    """Raise InputError, beginning with its file or who asks, for a ready tokenizer without [MASK]."""
    from tezgah.tokenizer.mask import mask_token

    try:
        mask_token(tokenizer)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def masked_data(data: "Data", tokenizer: "Tokenizer", recipe: Recipe) -> "Data":
    """The same sequences with masks: anew whenever one is trained on, always the same of the held-out ones."""
    from tezgah.tokens.masked_sequences import MaskedSequences, masker_of

    masked = MaskedSequences(data.train, masker_of(recipe.masking, tokenizer))
    held_out = fixed_masks(data.validation.stream, data.validation.context_length, tokenizer, recipe)
    return dataclasses.replace(data, train=masked, validation=held_out)


def fixed_masks(stream: Any, context_length: int, tokenizer: "Tokenizer", recipe: Recipe) -> "FixedMasks":
    """A stream's sequences with the masks that every run has."""
    from tezgah.tokens.masked_sequences import FixedMasks, masker_of

    masker = masker_of(recipe.masking, tokenizer)
    return FixedMasks(stream, context_length, masker, recipe.tokens.stride, recipe.tokens.keep_short)


def masked_reading(recipe: Recipe, tokenizer: "Tokenizer", text: Any) -> "tuple[Reading, Samples]":
    """What training does at a reading: the masked accuracy of some sequences of held-out `text`, and prompts filled."""
    from tezgah.evaluation.masked import evaluate_masked
    from tezgah.generation.fill import check_prompts, fill

    prompts = recipe.train.sample_prompts if recipe.train.sample_tokens else ()
    try:
        check_prompts(tokenizer, prompts, text.context_length)
    except InputError as error:
        raise InputError(f"[train] sample_prompts: {error}") from None
    spread = reading_sequences(text, recipe.evaluate.reading_bytes)

    def reading(model: Any, place: "Place") -> dict[str, Any]:
        measured = evaluate_masked(model, text, recipe.evaluate.batch_size, spread, place.autocast)
        return {"masked_accuracy": measured.masked_accuracy}

    def samples(model: Any, place: "Place") -> list[dict[str, str]]:
        return [{"prompt": prompt, "text": fill(model, tokenizer, prompt, n=1)[0].text} for prompt in prompts]

    return reading, samples


def reading_sequences(text: Any, reading_bytes: int) -> "NDArray[np.int64]":
    """The numbers of the held-out sequences that a reading takes: about `reading_bytes`, over the whole text."""
    import numpy as np

    size_bytes = max(1, int(text.stream.bytes.sum()))
    read = max(1, min(len(text), len(text) * reading_bytes // size_bytes))
    return np.arange(read) * len(text) // read


def evaluate_filling(
    model: "Encoder", recipe: Recipe, run: Path, learned: str, autocast: "torch.dtype | None"
) -> dict[str, Any]:
    """The trained model on all held-out sequences, beside a filler by pairs of neighbours of the `learned` split."""
    from tezgah.evaluation.masked import neighbours_accuracy
    from tezgah.tokenizer.tokenizer import Tokenizer
    from tezgah.tokens.neighbours import NEIGHBOURS, Neighbours
    from tezgah.tokens.pairs import count_pairs
    from tezgah.tokens.shards import TokenStream

    tokenizer = Tokenizer.load(run / "tokenizer")
    measured, text = evaluate_held_out(model, tokenizer, recipe, run, autocast)
    neighbours = Neighbours(count_pairs(TokenStream(run / "tokens", learned), tokenizer.vocab_size))
    return {
        **msgspec.to_builtins(measured),
        "baselines": {NEIGHBOURS: neighbours_accuracy(text, neighbours.guess)},
    }


def evaluate_held_out(
    model: "Encoder", tokenizer: "Tokenizer", recipe: Recipe, run: Path, autocast: "torch.dtype | None"
) -> "tuple[MaskedEvaluation, FixedMasks]":
    """A model on all held-out sequences of a run, and these. Raises InputError where another tokenizer made them."""
    from tezgah.evaluation.masked import evaluate_masked
    from tezgah.tokens.shards import TokenStream

    stream = TokenStream(run / "tokens", "validation")
    stream.check_tokenizer(tokenizer.hash)
    text = fixed_masks(stream, model.config.context_length, tokenizer, recipe)
    per_word = read_json(run / "tokenizer" / "measures.json")["tokens_per_word"]
    return evaluate_masked(model, text, recipe.evaluate.batch_size, None, autocast, True, per_word), text
