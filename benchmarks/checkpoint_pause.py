"""How long training stands still for a checkpoint: written between two steps, and written while training goes on.

    python benchmarks/checkpoint_pause.py

A model of GPT-2 small's shape, Muon and AdamW with all their state, on the CPU. Each round writes a checkpoint as it
was done before (the whole files made in memory, written, flushed to disk, read again for their hashes), and as it is
done now: copied, then written by a thread while steps are taken. The two take turns at being first.
"""

import argparse
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

import measuring
import torch
from safetensors.torch import save

from tezgah.files import atomic_folder, hash_file, write_bytes
from tezgah.models.build import build_config, build_model
from tezgah.models.causal import CausalLM
from tezgah.models.settings import ModelSettings
from tezgah.training.checkpoint import TrainingState, save_checkpoint
from tezgah.training.optimizer import GroupOptimizer, build_optimizer
from tezgah.training.place import choose_place
from tezgah.training.saving import Saver
from tezgah.training.settings import TrainSettings
from tezgah.training.signals import StopWish
from tezgah.training.snapshot import take_snapshot
from tezgah.training.world import join_world

SEPARATOR = 0


@dataclass(frozen=True)
class Round:
    """Seconds of one round."""

    before: float  # training stood still, when it waited for the disk
    now: float  # training stands still, for the copy
    writing: float  # from the copy until the checkpoint is there, and the step taken meanwhile is done
    step: float  # a step with nothing else going on
    step_while_writing: float


def written_between_steps(model: CausalLM, optimizer: GroupOptimizer, folder: Path) -> None:
    """What a checkpoint took before it was written by a thread."""
    with atomic_folder(folder / "before") as made:
        for name, tensors in (("model", dict(model.named_parameters())), ("optimizer", optimizer.named_state())):
            held = {key: tensor.detach().contiguous() for key, tensor in tensors.items()}
            write_bytes(made / f"{name}.safetensors", save(held))
            hash_file(made / f"{name}.safetensors")


def written_meanwhile(
    model: CausalLM, optimizer: GroupOptimizer, folder: Path, step: Callable[[], float]
) -> tuple[float, float, float]:
    """Seconds that training stands still, until a step and the writing are done, and of that step."""
    state = TrainingState(step=1, steps=1, tokens=0, seconds=0.0, fingerprint="", environment={})
    saver = Saver(StopWish())
    begun = time.perf_counter()
    snapshot = take_snapshot(model, optimizer)
    nothing: Callable[[Path], None] = lambda folder: None  # noqa: E731
    saver.begin(partial(save_checkpoint, folder, snapshot, state, SEPARATOR, nothing, 1, join_world()))
    still = time.perf_counter() - begun
    meanwhile = step()
    saver.wait()
    writing = time.perf_counter() - begun - still
    saver.close()
    return still, writing, meanwhile


def measure(
    settings: ModelSettings, vocab_size: int, batch: int, time_steps: int, rounds: int, folder: Path
) -> tuple[int, list[Round]]:
    """Bytes of a checkpoint, and what each round took."""
    model = build_model(build_config(settings, vocab_size), seed=1).train()
    optimizer = build_optimizer(model, TrainSettings(steps=1))
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    ids = torch.randint(0, vocab_size, (batch, time_steps))

    def step() -> float:
        begun = time.perf_counter()
        (model.loss(ids, ids.roll(-1, 1)) / ids.numel()).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return time.perf_counter() - begun

    def before() -> float:
        begun = time.perf_counter()
        written_between_steps(model, optimizer, folder)
        return time.perf_counter() - begun

    step()
    found = []
    for number in range(rounds + 1):  # the first warms memory and disk
        alone = step()
        stood = before() if number % 2 else 0.0
        now, writing, meanwhile = written_meanwhile(model, optimizer, folder, step)
        stood = stood or before()
        if number:
            found.append(Round(stood, now, writing, alone, meanwhile))
    held = [*model.parameters(), *optimizer.named_state().values()]
    return sum(tensor.numel() * tensor.element_size() for tensor in held), found


def table(rounds: list[Round]) -> str:
    """
    >>> print(table([Round(2.0, 0.5, 3.0, 4.0, 5.0)]).splitlines()[2])
    | training stands still, written between two steps | 2.00 (2.00–2.00) |
    """
    names = {
        "before": "training stands still, written between two steps",
        "now": "training stands still, written while it goes on",
        "writing": "until that step and the checkpoint are done",
        "step": "a step of training",
        "step_while_writing": "a step while a checkpoint is written",
    }
    rows = [[text, measuring.spread([getattr(each, name) for each in rounds]).text(2)] for name, text in names.items()]
    return measuring.markdown_table(["what", "seconds"], rows)


def main() -> None:
    arguments = parser().parse_args()
    begun = measuring.conditions()
    place = choose_place(TrainSettings(steps=1, device="cpu", compile=False))
    folder = arguments.folder or Path(mkdtemp(prefix="tezgah-pause-"))
    settings = ModelSettings(shape="gpt2", size="small", context_length=1024)
    size, rounds = measure(settings, 50_257, arguments.batch, arguments.time, arguments.rounds, folder)
    if not arguments.folder:
        shutil.rmtree(folder)
    title = (
        f"A checkpoint of GPT-2 small's shape, {size / 1e9:.2f} GB of weights and optimizer, {place.threads} threads"
    )
    result = {"bytes": size, "rounds": [asdict(each) for each in rounds]}
    measuring.write_results(arguments.results, "checkpoint_pause", title, table(rounds), result, begun)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    description = (__doc__ or "").split("\n")[0]
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("--rounds", type=int, default=5, help="checkpoints of each kind")
    made.add_argument("--batch", type=int, default=1, help="sequences of a step")
    made.add_argument("--time", type=int, default=512, help="tokens of a sequence")
    made.add_argument("--folder", type=Path, help="where checkpoints are written; without it a temporary folder")
    made.add_argument("--results", type=Path, default=measuring.RESULTS, help="folder for the results")
    return made


if __name__ == "__main__":
    main()
