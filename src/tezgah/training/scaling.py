"""How size, batch and rates follow from a budget: the rules, as functions of numbers alone.

They are other people's laws, fitted at 10⁷ to 10⁹ parameters; docs/sizing.md says how far they are trusted here.
"""

import math
from collections.abc import Callable, Sequence

from tezgah.models.config import ModelConfig
from tezgah.models.cost import scaling_parameters
from tezgah.training.settings import TrainSettings

TOKENS_PER_PARAMETER = 12  # of those that scale; nanochat's setting under Muon. Chinchilla's is 20 under AdamW
MAX_EPOCHS = 4.0  # up to here text read again teaches nearly what new text does (Muennighoff et al. 2023, 2305.16264)
LEAST_TOKENS_PER_PARAMETER = 1 / 8  # a model is not made larger than this for want of text
REFERENCE_WIDTH = 256  # where the default learning rates were chosen
DECAYED_STEPS = 3_500  # up to here weight decay is the default
CONTINUED = 0.25  # of a first training's rates, where one goes on from a model that has learned
MOST_BATCH_FACTOR = 2.0  # of the rates, either way


def batch_tokens(tokens: float) -> float:
    """The batch, in tokens a step, that serves a training of so many tokens best: 0.58 · D^0.571.

    "Step Law" (Li et al. 2025, arXiv 2503.04715, equation 1), which needs no reference run. nanochat's own, B ∝ D^0.383
    from 524,288 tokens at 1.3 · 10⁹, is made for eight GPUs: at 2 million tokens it asks for 45,000 a step.

    >>> [round(batch_tokens(tokens)) for tokens in (2.2e6, 3e7, 1.3e9)]
    [2426, 10786, 92788]
    """
    return float(0.58 * tokens**0.571)


def batch_sequences(tokens: float, context_length: int, processes: int = 1) -> int:
    """`batch_tokens` as sequences: the nearest power of two, and a multiple of the processes.

    >>> batch_sequences(2.2e6, 512), batch_sequences(3e7, 512), batch_sequences(2.2e6, 512, processes=3)
    (4, 16, 6)
    """
    sequences = 1 << max(0, round(math.log2(batch_tokens(tokens) / context_length)))
    return -(-sequences // processes) * processes


def rates(width: int, is_continued: bool = False, batch_factor: float = 1.0) -> dict[str, float]:
    """Learning rates for a width, three digits each; `batch_factor` is the batch over the rule's for this budget.

    AdamW's go with width^-½ (nanochat: (width / 768)^-½), and stay at the default below width 256. Muon's are the same
    at every width and depth: the norm of its step is that of the matrix's shape already (Jordan et al. 2024; Bernstein
    and Newhouse 2024). Both go with the root of the batch (Malladi et al. 2022), by a factor of 2 at most. The budget
    comes in through the batch; of a training that goes on from a model, they are a quarter.

    >>> rates(256), rates(768)["learning_rate"], rates(256, is_continued=True)["muon_learning_rate"]
    ({'learning_rate': 0.003, 'muon_learning_rate': 0.02}, 0.00173, 0.005)
    """
    default = TrainSettings()
    factor = min(MOST_BATCH_FACTOR, max(1 / MOST_BATCH_FACTOR, batch_factor**0.5))
    factor *= CONTINUED if is_continued else 1.0
    return {
        "learning_rate": _digits(default.learning_rate * min(1.0, REFERENCE_WIDTH / width) ** 0.5 * factor),
        "muon_learning_rate": _digits(default.muon_learning_rate * factor),
    }


def weight_decay(steps: float) -> float:
    """Weight decay for a training of so many steps: the default, and in a long one less, so that rate × decay × steps
    stays what it is.

    That product is how often the weights' average is renewed, and transfers from budget to budget (Wang and Aitchison
    2024, arXiv 2405.13698); nanochat scales by it too.

    >>> weight_decay(500), weight_decay(14_000)
    (0.1, 0.025)
    """
    return _digits(TrainSettings().weight_decay * min(1.0, DECAYED_STEPS / steps))


def choose(
    ladder: Sequence[ModelConfig], tokens: Callable[[ModelConfig], float], most: float | None = None
) -> ModelConfig:
    """The configuration of `ladder`, smallest first, that a budget is best spent on.

    `tokens` says how many the budget pays for with each. Taken is the one with the nearest to 12 tokens a scaling
    parameter (nanochat's ratio). Where that is more than the `most` tokens the text may give, a larger one is, which
    spends the budget on fewer, but none with more parameters than eight times those tokens: so little text could not
    tell it from a smaller one. More budget never gives a smaller model.
    """
    paid = [tokens(rung) for rung in ladder]
    parameters = [scaling_parameters(rung) for rung in ladder]
    off = [abs(math.log(each / count / TOKENS_PER_PARAMETER)) for each, count in zip(paid, parameters, strict=True)]
    chosen = off.index(min(off))
    if most is None:
        return ladder[chosen]
    if paid[-1] < paid[0]:  # else a larger one reads no less
        chosen = max(chosen, next((rung for rung, each in enumerate(paid) if each <= most), len(ladder) - 1))
    told = sum(count * LEAST_TOKENS_PER_PARAMETER <= most for count in parameters)
    return ladder[min(chosen, max(0, told - 1))]


def _digits(value: float) -> float:
    """`value` to three digits."""
    return float(f"{value:.3g}")
