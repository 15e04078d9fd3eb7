"""Those that time_to_quality.py sets side by side: each learns Python until it is good enough, against the clock.

A contestant is a process of its own. It builds its model, takes two steps and a reading so that all is compiled,
puts its first weights back, and then the clock runs: over data, steps and whatever it does before the first step,
not over readings. Each reading is the mean cross-entropy of the same validation tokens in windows of the same length.
"""

import dataclasses
import json
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import companion
import numpy as np
import torch
from contestants import _module
from numpy.typing import NDArray
from torch import Tensor

CONTEXT, ROWS = 256, 16  # nanoGPT's batch: 4,096 tokens
VALIDATION = 256  # windows of a reading


@dataclasses.dataclass(frozen=True)
class Race:
    """What a contestant is told; what it does not know it leaves alone."""

    name: str
    tokens: str  # folder with train.npy and validation.npy
    vocab_size: int = 8_192
    seed: int = 1
    steps: int = 400  # of its schedule
    most: int = 400  # steps after which it gives up
    every: int = 20  # steps between readings
    target: float = 0.0  # validation loss at which it stops
    learning_rate: float = 0.0
    peer: str = ""  # a checkout of nanoGPT or nanochat
    n_layers: int = 4
    width: int = 192
    mlp_width: int = 640
    optimizer: str = "muon"
    start: str = "pairs"
    tied: bool = False
    threads: int = 2


class Learner:
    """A model in training: one step, its loss on given tokens, and how to begin again."""

    parameters: int
    rows = ROWS

    def step(self, number: int, ids: Tensor, targets: Tensor) -> None:
        """Take step `number`, counted from 1; both are (rows, time)."""
        raise NotImplementedError

    def loss(self, ids: Tensor, targets: Tensor) -> float:
        """Mean cross-entropy."""
        raise NotImplementedError

    def begin(self) -> None:
        """First weights, an empty optimizer, and what belongs to the training but comes before its steps."""
        raise NotImplementedError


class Windows:
    """Training's windows, shuffled by a seed, without repetition."""

    def __init__(self, folder: str) -> None:
        self.ids = np.load(Path(folder) / "train.npy", mmap_mode="r")

    def take(self, seed: int, first: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ids and targets of the first-th to (first + count - 1)-th, each (count, time)."""
        order = np.random.default_rng(seed).permutation((len(self.ids) - 1) // CONTEXT)
        places = order[first : first + count, None] * CONTEXT + np.arange(CONTEXT + 1)
        ids = self.ids[places].astype(np.int64)  # (count, time + 1)
        return np.ascontiguousarray(ids[:, :-1]), np.ascontiguousarray(ids[:, 1:])


def run(learner: Learner, race: Race) -> dict[str, Any]:
    """Train until the target is reached or there are no more steps; a row for every reading."""
    windows = Windows(race.tokens)
    held_out = np.load(Path(race.tokens) / "validation.npy")[: VALIDATION * CONTEXT + 1].astype(np.int64)
    validation = [torch.from_numpy(part.reshape(-1, CONTEXT)) for part in (held_out[:-1], held_out[1:])]

    def reading() -> float:
        parts = [tuple(each[row : row + ROWS] for each in validation) for row in range(0, VALIDATION, ROWS)]
        with torch.no_grad():
            return sum(learner.loss(*part) for part in parts) / len(parts)

    def step(number: int) -> None:
        ids, targets = windows.take(race.seed, (number - 1) * learner.rows, learner.rows)
        learner.step(number, torch.from_numpy(ids), torch.from_numpy(targets))

    for number in (1, 2):
        step(number)
    reading()
    clock = -time.perf_counter()
    learner.begin()
    clock += time.perf_counter()
    rows = [{"step": 0, "seconds": clock, "loss": reading()}]
    for number in range(1, race.most + 1):
        if rows[-1]["loss"] <= race.target:
            break
        clock -= time.perf_counter()
        step(number)
        clock += time.perf_counter()
        if number % race.every == 0 or number == race.most:
            rows.append({"step": number, "seconds": clock, "loss": reading()})
    return {"rows": rows, "parameters": learner.parameters, "batch_tokens": learner.rows * CONTEXT}


class Tezgah(Learner):
    """tezgah: the steps of its own Stepper, its optimizer, schedule and start."""

    def __init__(self, race: Race) -> None:
        from tezgah.models.build import build_config, build_model
        from tezgah.models.settings import ModelSettings
        from tezgah.training.allocator import keep_freed_memory
        from tezgah.training.place import choose_place
        from tezgah.training.settings import TrainSettings
        from tezgah.training.step import Stepper
        from tezgah.training.world import World

        self.settings = TrainSettings(
            steps=race.steps,
            seed=race.seed,
            batch_size=ROWS,
            optimizer=race.optimizer,  # type: ignore[arg-type]
            start=race.start,  # type: ignore[arg-type]
            precision="bf16",
            threads=race.threads,
            warmup_steps=min(20, race.steps // 5),
            learning_rate=race.learning_rate or TrainSettings().learning_rate,
        )
        self.place, self.race = choose_place(self.settings), race
        shape = ModelSettings(
            n_layers=race.n_layers, width=race.width, mlp_width=race.mlp_width, tied=race.tied, context_length=CONTEXT
        )
        self.model = build_model(build_config(shape, race.vocab_size), race.seed)
        self.first = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())
        if self.place.device.type == "cpu":
            keep_freed_memory()
        windows: Any = Windows(race.tokens)
        self.stepper = Stepper(self.model, windows, self.settings, World(0, 0, 1), self.place)
        for part in self.model.compiled_parts():
            part.compile(dynamic=False)

    def step(self, number: int, ids: Tensor, targets: Tensor) -> None:
        self.stepper.step(number, self.race.steps)

    def loss(self, ids: Tensor, targets: Tensor) -> float:
        with self.place.precision():
            return float(self.model.loss(ids, targets)) / ids.numel()

    def begin(self) -> None:
        from tezgah.tokens.pairs import count_pairs
        from tezgah.training.pairs import start_from_pairs

        self.model.load_state_dict(self.first)
        self.stepper.optimizer.state.clear()
        if self.race.start == "pairs":
            ids = np.load(Path(self.race.tokens) / "train.npy", mmap_mode="r")
            start_from_pairs(self.model, count_pairs(ids, self.race.vocab_size), self.place, self.race.seed)


class NanoGPT(Learner):
    """nanoGPT: the loop of its train.py around its model.py; a twentieth of the steps warms up, cosine to a tenth."""

    DECAY, BETAS, CLIP = 0.1, (0.9, 0.95), 1.0

    def __init__(self, race: Race) -> None:
        torch.set_num_threads(race.threads)
        torch.manual_seed(race.seed)
        theirs = _module(Path(race.peer) / "model.py")
        sizes: dict[str, Any] = {"n_layer": 4, "n_head": 4, "n_embd": 256, "dropout": 0.0, "bias": False}
        self.model = theirs.GPT(theirs.GPTConfig(block_size=CONTEXT, vocab_size=race.vocab_size, **sizes))
        self.first = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.rate, self.steps = race.learning_rate, race.steps
        self.optimizer = self.model.configure_optimizers(self.DECAY, self.rate, self.BETAS, "cpu")
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())
        self.compiled: Any = torch.compile(self.model)

    def factor(self, number: int) -> float:
        """The share of the peak rate at a step."""
        warmup = self.steps // 20
        if number <= warmup:
            return number / warmup
        return 0.1 + 0.45 * (1 + math.cos(math.pi * (number - warmup) / (self.steps - warmup)))

    def step(self, number: int, ids: Tensor, targets: Tensor) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * self.factor(number)
        with torch.amp.autocast("cpu", torch.bfloat16):
            _, loss = self.compiled(ids, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.CLIP)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        loss.item()

    def loss(self, ids: Tensor, targets: Tensor) -> float:
        with torch.amp.autocast("cpu", torch.bfloat16):
            return float(self.compiled(ids, targets)[1])

    def begin(self) -> None:
        self.model.load_state_dict(self.first)
        self.optimizer.state.clear()


class NanoGPTDefault(NanoGPT):
    """nanoGPT as its train.py is set: 6e-4, reached after 2,000 steps of warm-up."""

    def factor(self, number: int) -> float:
        return min(1.0, (number - 1) / 2_000)


class Nanochat(Learner):
    """nanochat: its model, MuonAdamW, rates and schedules as published, with batches of 4,096 tokens."""

    SIZES = {"n_layer": 4, "n_head": 2, "n_kv_head": 2, "n_embd": 136}  # noqa: RUF012  value embeddings count too

    def __init__(self, race: Race) -> None:
        os.environ["NANOCHAT_DTYPE"] = "bfloat16"
        sys.path.insert(0, race.peer)
        from nanochat.gpt import GPT, GPTConfig  # type: ignore[import-not-found]

        torch.set_num_threads(race.threads)
        torch.manual_seed(race.seed)
        self.model = GPT(GPTConfig(sequence_len=CONTEXT, vocab_size=race.vocab_size, **self.SIZES))
        self.model.init_weights()
        self.first = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.steps = race.steps
        self.optimizer = self.model.setup_optimizer(
            unembedding_lr=0.008, embedding_lr=0.3, matrix_lr=0.02, weight_decay=0.28, scalar_lr=0.5
        )
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())
        self.compiled: Any = torch.compile(self.model, dynamic=False)

    def step(self, number: int, ids: Tensor, targets: Tensor) -> None:
        it, down = number - 1, round(0.65 * self.steps)
        factor = (it + 1) / 40 if it < 40 else 1.0
        if it > self.steps - down:
            factor = min(factor, 0.05 + 0.95 * (self.steps - it) / down)
        self.compiled(ids, targets).backward()
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
            if group["kind"] == "muon":
                group["momentum"] = min(0.85 + 0.12 * it / 400, 0.97)
                group["weight_decay"] = 0.28 * 0.5 * (1 + math.cos(math.pi * it / self.steps))
        self.optimizer.step()
        self.model.zero_grad(set_to_none=True)

    def loss(self, ids: Tensor, targets: Tensor) -> float:
        return float(self.compiled(ids, targets))

    def begin(self) -> None:
        self.model.load_state_dict(self.first)
        self.optimizer.state.clear()


class Trainer(Learner):
    """`transformers`' Trainer as TrainingArguments set it (AdamW at 5e-5, linear), around GPT-2; bf16, compiled."""

    def __init__(self, race: Race) -> None:
        from transformers import GPT2Config, GPT2LMHeadModel, TrainingArguments
        from transformers import Trainer as Theirs

        torch.set_num_threads(race.threads)
        torch.manual_seed(race.seed)
        nothing: dict[str, Any] = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "use_cache": False}
        sizes: dict[str, Any] = {"n_positions": CONTEXT, "n_embd": 256, "n_layer": 4, "n_head": 4}
        ids: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": 0}
        self.model = GPT2LMHeadModel(GPT2Config(vocab_size=race.vocab_size, **sizes, **nothing, **ids))
        self.first = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        arguments = TrainingArguments(
            output_dir="unused", use_cpu=True, bf16=True, torch_compile=True, max_steps=race.steps, report_to="none"
        )
        arguments.learning_rate = race.learning_rate or arguments.learning_rate
        self.trainer: Any = Theirs(self.model, arguments)
        self.trainer.current_gradient_accumulation_steps = 1
        self.trainer.create_optimizer_and_scheduler(race.steps)
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())
        self.compiled: Any = torch.compile(self.model)

    def step(self, number: int, ids: Tensor, targets: Tensor) -> None:
        self.compiled.train()
        self.trainer.training_step(self.compiled, {"input_ids": ids, "labels": ids})
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.trainer.optimizer.step()
        self.trainer.lr_scheduler.step()
        self.model.zero_grad(set_to_none=True)

    def loss(self, ids: Tensor, targets: Tensor) -> float:
        with torch.amp.autocast("cpu", torch.bfloat16):
            logits = self.compiled(input_ids=ids).logits
        return float(torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten()))

    def begin(self) -> None:
        self.model.load_state_dict(self.first)
        self.trainer.optimizer = self.trainer.lr_scheduler = None
        self.trainer.create_optimizer_and_scheduler(self.trainer.args.max_steps)


CONTESTANTS: dict[str, Callable[[Race], Learner]] = {
    "tezgah": Tezgah,
    "nanogpt": NanoGPT,
    "nanogpt-default": NanoGPTDefault,
    "nanochat": Nanochat,
    "trainer": Trainer,
}


if __name__ == "__main__":
    answers = companion.answering()
    race = Race(**json.loads(sys.argv[1]))
    learner = CONTESTANTS[race.name](race)
    for _ in sys.stdin:
        print(json.dumps(run(learner, race)), file=answers, flush=True)
