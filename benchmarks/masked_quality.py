"""Masked accuracy after some minutes of a recipe, beside `transformers`' Trainer on the same tokens for as long.

    python benchmarks/masked_quality.py TEXTS [--recipe recipes/turkish-modernbert.toml] [--minutes 20]

The recipe is run as a user runs it. Then the Trainer (masked_trainer.py) trains a BertForMaskedLM of as many layers,
width and heads, whose MLP is as wide as makes the parameters as many, on the run's own training sequences, once for
each learning rate. Held-out tokens are masked alike for all: 15 %, each by [MASK]; the curve is of the sequences that
a reading of the run takes, the final figure of all. Our minutes hold compilation and readings, the Trainer's neither.
"""

import argparse
import dataclasses
import json
import statistics
import time
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import masked_trainer
import measuring
import numpy as np
from companion import Companion
from demo import tezgah
from masked_trainer import Entry
from measuring import REPOSITORY

from tezgah.console import say
from tezgah.errors import InputError
from tezgah.models import bert
from tezgah.models.config import ModelConfig
from tezgah.models.cost import count_parameters
from tezgah.tokens.neighbours import NEIGHBOURS
from tezgah.training.curves import look_of
from tezgah.training.figures import DASHES, Level, Line, Panel, figure_of, picture
from tezgah.training.record import Record, model_config, read_record

CONTESTANTS = ("tezgah", "trainer")
MULTIPLE = 8  # of the Trainer's MLP width
CLOSE = 0.03  # how far its number of parameters may be from ours


def fitting_mlp(config: ModelConfig) -> int:
    """The MLP width at which a BERT of `config`'s layers, width and heads has as many parameters.

    Raises InputError where none comes within 3 %.

    >>> from tezgah.models.build import build_config
    >>> from tezgah.models.settings import ModelSettings
    >>> fitting_mlp(build_config(ModelSettings(objective="mlm", shape="bert", size="mini"), 8_192))
    1024
    """

    def parameters(mlp_width: int) -> int:
        fields = bert.BertFields(
            vocab_size=config.vocab_size,
            hidden_size=config.width,
            num_hidden_layers=config.n_layers,
            num_attention_heads=config.stack.n_heads,
            intermediate_size=mlp_width,
            max_position_embeddings=config.context_length,
        )
        return count_parameters(bert.config_of(fields, "BertForMaskedLM", ()))

    wanted, least = count_parameters(config), parameters(MULTIPLE)
    each = parameters(2 * MULTIPLE) - least  # of MULTIPLE more
    found = MULTIPLE * max(1, 1 + round((wanted - least) / each))
    if abs(parameters(found) / wanted - 1) > CLOSE:
        raise InputError(f"no BERT of {config.n_layers} × {config.width} has about {wanted:,} parameters.")
    return found


def ours(record: Record) -> dict[str, Any]:
    """What the run came to, as a contestant's answer."""
    config, evaluation = model_config(record), record.evaluation
    if config is None or evaluation is None or evaluation.masked_accuracy is None:
        raise InputError(f"{record.folder}: no finished run of a masked language model. Give another --run.")
    rows = record.rows
    curve = [
        {"step": row.step, "seconds": row.seconds, "masked_accuracy": row.masked_accuracy}
        for row in rows
        if row.masked_accuracy is not None
    ]
    speeds = [row.tokens_per_second for row in rows if row.tokens_per_second]
    return {
        "parameters": count_parameters(config),
        "masked_accuracy": evaluation.masked_accuracy,
        "loss": evaluation.loss,
        "steps": rows[-1].step,
        "seconds": rows[-1].seconds,
        "tokens_per_second": statistics.median(speeds),
        "curve": curve,
    }


def entry_of(arguments: argparse.Namespace, record: Record, learning_rate: float) -> Entry:
    """What the Trainer is told."""
    config = model_config(record)
    assert config is not None
    return Entry(
        run=str(record.folder),
        learning_rate=learning_rate,
        minutes=arguments.minutes,
        n_layers=config.n_layers,
        width=config.width,
        n_heads=config.stack.n_heads,
        mlp_width=fitting_mlp(config),
        dropout=arguments.trainer_dropout,
        batch_size=arguments.trainer_batch,
        warmup_steps=arguments.warmup_steps,
        compiled=arguments.compile,
        threads=arguments.threads,
    )


def trained(entry: Entry) -> dict[str, Any]:
    """The answer of a Trainer in a process of its own."""
    process = Companion("the Trainer", [masked_trainer.__file__, json.dumps(dataclasses.asdict(entry))])
    try:
        return process.ask("train")
    finally:
        process.close()


def tabulate(found: dict[str, dict[str, Any]], neighbours: float) -> str:
    """Two tables: where each ended, and the curves."""
    best = found["tezgah"]["masked_accuracy"]
    rows = [
        [
            name,
            f"{each['parameters']:,}",
            f"{100 * each['masked_accuracy']:.2f}",
            times(best, each["masked_accuracy"]),
            f"{each['loss']:.3f}",
            f"{each['steps']:,}" + (f" of {each['planned_steps']:,}" if "planned_steps" in each else ""),
            f"{each['tokens_per_second']:,.0f}",
            f"{each['seconds'] / 60:.2f}",
        ]
        for name, each in found.items()
    ]
    rows.append([NEIGHBOURS, "–", f"{100 * neighbours:.2f}", times(best, neighbours), "–", "–", "–", "–"])
    header = ["what", "parameters", "held-out masked accuracy, %", "tezgah's ÷ it", "nats per masked token"]
    points = [
        [name, f"{point['seconds'] / 60:.2f}", f"{point['step']:,}", f"{100 * point['masked_accuracy']:.2f}"]
        for name, each in found.items()
        for point in each["curve"]
    ]
    return "\n\n".join(
        (
            measuring.markdown_table([*header, "steps", "tokens/s", "minutes"], rows),
            measuring.markdown_table(["what", "minute", "step", "masked accuracy, %"], points),
        )
    )


def times(ours: float, theirs: float) -> str:
    """
    >>> times(0.36, 0.12), times(0.36, 0.0)
    ('3.00', '–')
    """
    return f"{ours / theirs:.2f}" if theirs else "–"


def draw(found: dict[str, dict[str, Any]], neighbours: float, path: Path) -> None:
    """The curves over the minutes, and the filler by pairs of neighbours as a level."""
    lines = []
    for number, (name, each) in enumerate(found.items()):
        x, y = (np.array([point[key] for point in each["curve"]]) for key in ("seconds", "masked_accuracy"))
        lines.append(Line(name, x / 60, 100 * y, look_of(number)))
    panel = Panel(
        "training time (minutes)",
        "held-out masked accuracy (%)",
        lines,
        [Level(NEIGHBOURS, 100 * neighbours, DASHES[1])],
        from_zero=True,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(figure_of([panel], width=7.5, height=4.2), "png"))
    say(f"curves: {path}")


def main() -> None:
    arguments = parser().parse_args()
    begun = measuring.conditions()
    run, seconds = arguments.run or Path(mkdtemp(prefix="tezgah-masked-quality-")) / "run", None
    if "tezgah" in arguments.contestants and not (arguments.run and arguments.run.exists()):
        if arguments.texts is None:
            raise InputError("benchmarks/masked_quality.py: give TEXTS, or the --run of a finished run.")
        budget = ("--train.minutes", f"{arguments.minutes:g}", "--train.threads", str(arguments.threads))
        compiling = ("--train.compile", str(arguments.compile).lower())
        started = time.perf_counter()
        source = ("--corpus.source", str(arguments.texts))
        tezgah("run", str(arguments.recipe), *source, *budget, *compiling, "--run", str(run))
        seconds = time.perf_counter() - started
        say(f"the run is kept in {run}")
    record = read_record(run)
    found = {"tezgah": ours(record)}
    for rate in arguments.trainer_learning_rates if "trainer" in arguments.contestants else ():
        name = f"Trainer, learning rate {rate:g}"
        say(name)
        found[name] = trained(entry_of(arguments, record, rate))
    neighbours = record.baselines[NEIGHBOURS]
    table = tabulate(found, neighbours)
    draw(found, neighbours, arguments.results / f"{arguments.name}.png")
    notes = (
        f"{found['tezgah']['parameters']:,} parameters are ours; masks are fixed: 15 % of the held-out tokens, each "
        "by [MASK]. The Trainer's steps stand beside those in which its learning rate was to fall to 0. Its clock "
        "leaves out compilation and readings, ours does not."
    )
    if seconds is not None:
        notes += f" From texts to the measured model the recipe took {seconds / 60:.1f} minutes."
    result = {
        "seconds": seconds,
        "contestants": found,
        "baselines": record.baselines,
        "recipe": record.recipe,
        "trainer": {"batch_size": arguments.trainer_batch, "dropout": arguments.trainer_dropout},
    }
    title = f"Masked accuracy after {arguments.minutes:g} minutes, {arguments.recipe.name} beside transformers' Trainer"
    measuring.write_results(arguments.results, arguments.name, title, f"{table}\n\n{notes}", result, begun)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    description = (__doc__ or "").split("\n")[0]
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    recipe = REPOSITORY / "recipes" / "turkish-modernbert.toml"
    made.add_argument("texts", type=Path, nargs="?", help="a folder of texts; not needed beside a finished --run")
    made.add_argument("--recipe", type=Path, default=recipe, help="what is run")
    made.add_argument("--minutes", type=float, default=20, help="of training, of each")
    made.add_argument("--run", type=Path, help="folder for the run, kept; one that is there is taken as it is")
    made.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    rates = "of the Trainer, whose own is 5e-5; a row each"
    made.add_argument(
        "--trainer-learning-rates", nargs="+", type=float, default=[5e-5, 5e-4], metavar="RATE", help=rates
    )
    made.add_argument("--trainer-batch", type=int, default=16, help="sequences of the Trainer's step")
    made.add_argument("--trainer-dropout", type=float, default=0.0, help="of the Trainer's model; BertConfig has 0.1")
    made.add_argument("--warmup-steps", type=int, default=24, help="of the Trainer, to measure a step")
    made.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True, help="torch.compile, for all")
    made.add_argument("--threads", type=int, default=0, help="CPU threads of each; 0 takes every core")
    made.add_argument("--name", default="masked_quality", help="of the results")
    made.add_argument("--results", type=Path, default=measuring.RESULTS, help="folder for the results")
    return made


if __name__ == "__main__":
    main()
