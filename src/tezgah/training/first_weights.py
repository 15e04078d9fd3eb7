"""First weights from the text itself, before anything looks at them."""

from tezgah.console import say
from tezgah.models.causal import CausalLM
from tezgah.models.language import LanguageModel
from tezgah.tokens.masked_sequences import MaskedSequences
from tezgah.tokens.pairs import count_pairs
from tezgah.tokens.sequences import TrainingSequences
from tezgah.training.masked_pairs import start_from_neighbours
from tezgah.training.pairs import start_from_pairs
from tezgah.training.place import Place
from tezgah.training.world import World


def start_from_counts(model: LanguageModel, text: TrainingSequences, place: Place, world: World, seed: int) -> None:
    """Set a fresh model's weights by the pairs of neighbours in `text`; the first process counts for all."""
    model.to(place.device)
    if world.is_first:
        pairs = count_pairs(text.sample.stream, model.config.vocab_size)
        if isinstance(model, CausalLM):
            start_from_pairs(model, pairs, place, seed)
        else:
            assert isinstance(text, MaskedSequences), "an encoder learns from masked sequences"
            start_from_neighbours(model, pairs, text.mask_id, seed)
        say(f"model: starts from {pairs.counts.sum():,} pairs of tokens, {len(pairs.counts):,} of them different")
    for parameter in model.parameters():
        world.share(parameter.data)
