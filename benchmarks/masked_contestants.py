"""Those that `masked_step.py` sets side by side, each a process that trains k steps when it is told to.

Its standard input says how many, a number a line; the answer, a line of JSON, says how long they took and how many of
their tokens were text. All begin with the same weights. The batches of `transformers` are made before its clock runs;
ours are made beside training, as always.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import companion
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tezgah.models.checkpoint import load_model
from tezgah.tokens.masked_sequences import MaskedSequences
from tezgah.tokens.masking import Masker
from tezgah.tokens.sequences import NO_TARGET, Sequences
from tezgah.tokens.settings import MaskingSettings
from tezgah.training.allocator import keep_freed_memory
from tezgah.training.place import choose_place
from tezgah.training.settings import TrainSettings
from tezgah.training.step import Stepper
from tezgah.training.world import World

FOREVER = 1_000_000  # steps of a run that nobody waits for
LEARNING_RATE, WEIGHT_DECAY, CLIP, SEED = 6e-4, 0.1, 1.0, 1


@dataclass(frozen=True)
class Cell:
    """What is trained on what: a model folder, and the folder that holds the ids and says which are special."""

    model: str
    data: str  # with ids.npy, (tokens,), a separator before every document, and offsets.npy, where those stand
    context: int
    rows: int  # sequences of a step
    separator_id: int
    mask_id: int
    pad_id: int
    special: tuple[int, ...]  # ids that are never masked
    vocab_size: int
    before: tuple[int, ...] = ()  # ids that frame a document which is read by itself
    after: tuple[int, ...] = ()
    compiled: bool = True
    threads: int = 0
    precision: Literal["bf16", "fp32"] = "bf16"


@dataclass(frozen=True)
class Index:
    """What `Sequences` asks of the shards."""

    separator_id: int


class Held:
    """Ids in memory, as a stream."""

    folder, split = Path("benchmark"), "train"

    def __init__(self, cell: Cell) -> None:
        self.ids = np.load(Path(cell.data) / "ids.npy", mmap_mode="r")
        self.offsets = np.load(Path(cell.data) / "offsets.npy")
        self.index: Any = Index(cell.separator_id)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, tokens: slice) -> NDArray[np.integer]:
        return np.asarray(self.ids[tokens])


class Learner:
    """A model in training."""

    first_loss = 0.0

    def __init__(self, cell: Cell, name: str) -> None:
        self.cell, self.name, self.number = cell, name, 0
        self.settings = TrainSettings(
            steps=FOREVER,
            batch_size=cell.rows,
            optimizer="adamw",
            schedule="constant",
            learning_rate=LEARNING_RATE,
            weight_decay=WEIGHT_DECAY,
            gradient_clip=CLIP,
            precision=cell.precision,
            compile=cell.compiled,
            threads=cell.threads,
        )
        self.place = choose_place(self.settings)
        special = np.zeros(cell.vocab_size, bool)
        special[list(cell.special)] = True
        self.masker = Masker(MaskingSettings(), cell.mask_id, special)
        self.stream: Any = Held(cell)
        self.sequences = MaskedSequences(Sequences(self.stream, cell.context), self.masker)

    def run(self, steps: int) -> dict[str, float]:
        """Train so many steps more."""
        numbers = range(self.number, self.number + steps)
        self.number += steps
        self.prepare(numbers)
        started = time.perf_counter()
        for number in numbers:
            self.step(number)
        if self.place.device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
        text, read = self.tokens(numbers)
        return {"seconds": seconds, "text": text, "read": read, "first_loss": self.first_loss}

    def prepare(self, numbers: range) -> None:
        """What is done before the clock runs."""

    def step(self, number: int) -> None:
        """Take a step; the first has the number 0."""
        raise NotImplementedError

    def tokens(self, numbers: range) -> tuple[int, int]:
        """Of these steps the tokens that are text, and all places that were read."""
        ids = [self.sequences.take(SEED, number * self.cell.rows, self.cell.rows)[0] for number in numbers]
        return sum(self.text(each) for each in ids), sum(each.size for each in ids)

    def text(self, ids: NDArray[np.int64]) -> int:
        """How many tokens are neither padding nor what stands around a text."""
        cell = self.cell
        return int((~np.isin(ids, [cell.pad_id, cell.separator_id, *cell.before, *cell.after])).sum())


class Tezgah(Learner):
    """tezgah: the step of its own training."""

    boundary = False

    def __init__(self, cell: Cell, name: str) -> None:
        super().__init__(cell, name)
        if self.place.device.type == "cpu":
            keep_freed_memory()
        model = load_model(Path(cell.model)).train()
        for parameter in model.parameters():  # one opened from a folder may lie in its file
            parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
        boundary_id = cell.separator_id if self.boundary else None
        self.stepper = Stepper(model, self.sequences, self.settings, World(0, 0, 1), self.place, boundary_id)
        if self.place.compiled:
            for part in model.compiled_parts():
                part.compile(dynamic=False)

    def step(self, number: int) -> None:
        figures = self.stepper.step(number + 1, FOREVER)
        if number == 0:
            self.first_loss = figures["loss"]


class Packed(Tezgah):
    """tezgah: sentences packed into full sequences, none looking at another."""

    boundary = True


class Transformers(Learner):
    """transformers: compiled as a whole, sdpa, fused AdamW."""

    dynamic: bool | None = None  # torch.compile's own
    extra: dict[str, Any] = {}  # noqa: RUF012  of its configuration

    def __init__(self, cell: Cell, name: str) -> None:
        from transformers import AutoModelForMaskedLM

        super().__init__(cell, name)
        self.model = AutoModelForMaskedLM.from_pretrained(cell.model, attn_implementation="sdpa", **self.extra)
        self.model.to(self.place.device).train()
        self.called: Any = torch.compile(self.model, dynamic=self.dynamic) if self.place.compiled else self.model
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=LEARNING_RATE,
            betas=(self.settings.beta1, self.settings.beta2),
            weight_decay=WEIGHT_DECAY,
            fused=True,
        )
        self.batches: dict[int, dict[str, Tensor]] = {}

    def prepare(self, numbers: range) -> None:
        self.batches = {
            number: {name: torch.from_numpy(each).to(self.place.device) for name, each in self.batch(number).items()}
            for number in numbers
        }

    def batch(self, number: int) -> dict[str, NDArray[Any]]:
        """What a step reads, by the names of their model's arguments."""
        ids, targets = self.sequences.take(SEED, number * self.cell.rows, self.cell.rows)
        return {"input_ids": ids, "labels": targets}

    def step(self, number: int) -> None:
        with self.place.precision():
            loss = self.called(**self.batches[number]).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if number == 0:
            self.first_loss = float(loss.detach())

    def tokens(self, numbers: range) -> tuple[int, int]:
        ids = [self.batches[number]["input_ids"].cpu().numpy() for number in numbers]
        return sum(self.text(each) for each in ids), sum(each.size for each in ids)


class Sparse(Transformers):
    """transformers: the same with sparse_prediction, which scores masked places alone."""

    extra = {"sparse_prediction": True}  # noqa: RUF012


class Padded(Transformers):
    """transformers: a sentence a row, padded to the context."""

    def length(self, longest: int) -> int:
        """Places of each row of a batch."""
        return self.cell.context

    def batch(self, number: int) -> dict[str, NDArray[Any]]:
        cell, ends = self.cell, self.stream.offsets
        frames = len(cell.before) + len(cell.after)
        rows = []
        for place in range(number * cell.rows, (number + 1) * cell.rows):
            document = place % (len(ends) - 1)
            text = self.stream.ids[ends[document] + 1 : ends[document + 1]][: cell.context - frames]
            rows.append([*cell.before, *text.tolist(), *cell.after])
        ids = np.full((cell.rows, self.length(max(map(len, rows)))), cell.pad_id, np.int64)
        seen = np.zeros_like(ids)
        for row, held in enumerate(rows):
            ids[row, : len(held)] = held
            seen[row, : len(held)] = 1
        masked, targets = self.masker.mask(ids, SEED, np.arange(number * cell.rows, (number + 1) * cell.rows))
        assert (targets[seen == 0] == NO_TARGET).all(), "padding is never asked for"
        return {"input_ids": masked, "labels": targets, "attention_mask": seen}


class Longest(Padded):
    """transformers: a sentence a row, padded to the longest of the batch."""

    dynamic = True

    def length(self, longest: int) -> int:
        return longest


CONTESTANTS: dict[str, Callable[[Cell, str], Learner]] = {
    "tezgah": Tezgah,
    "transformers": Transformers,
    "transformers-sparse": Sparse,
    "tezgah-packed": Packed,
    "transformers-padded": Padded,
    "transformers-longest": Longest,
}


def main(name: str, cell: Cell) -> None:
    """Be the contestant `name` until nobody asks any more."""
    answers = companion.answering()
    torch.manual_seed(SEED)
    learner = CONTESTANTS[name](cell, name)
    for line in sys.stdin:
        print(json.dumps(learner.run(int(line))), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Cell(**json.loads(sys.argv[2])))
