"""One row of `masked_quality.py`: `transformers`' Trainer and BertForMaskedLM, some minutes on the tokens of a run.

It is a process of its own. A short training measures a step, which tells how many the minutes hold, so that the
learning rate has fallen to 0 when they are over; then a fresh model is trained and the clock runs, from the end of
the first step on, which compiles. It stands still during readings.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import companion
import msgspec
import numpy as np
import torch
from torch import Tensor, nn
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from tezgah.evaluation.masked import evaluate_masked
from tezgah.masked_stations import fixed_masks, reading_sequences
from tezgah.nn.cross_entropy import Scored
from tezgah.recipe import load_recipe
from tezgah.stations import evaluation_place
from tezgah.tokenizer.tokenizer import Tokenizer
from tezgah.tokens.sequences import Sequences
from tezgah.tokens.shards import TokenStream

UNCOUNTED = 4  # steps of the warm-up: some of them compile
READINGS = 10


@dataclass(frozen=True)
class Entry:
    """What the Trainer is told: the run whose tokens it learns, its model's sizes, its minutes."""

    run: str
    learning_rate: float
    minutes: float
    n_layers: int
    width: int
    n_heads: int
    mlp_width: int
    dropout: float = 0.0
    batch_size: int = 16
    warmup_steps: int = 24
    compiled: bool = True
    threads: int = 0
    seed: int = 1


class Windows:
    """The run's training sequences, as a dataset."""

    def __init__(self, sequences: Sequences) -> None:
        self.sequences = sequences

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, index: int) -> dict[str, Any]:
        ids, _ = self.sequences.batch(np.array([index]))
        return {"input_ids": ids[0].tolist()}  # (time,)


class Scoring(nn.Module):
    """Their model, asked as `evaluate_masked` asks ours."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def scored(self, ids: Tensor, targets: Tensor) -> Scored:
        """Summed cross-entropy of `targets`, (batch, time), in nats, and how many were the likeliest id."""
        logits = self.model(input_ids=ids).logits[targets >= 0].float()  # (masked, vocab)
        answers = targets[targets >= 0]
        loss = torch.nn.functional.cross_entropy(logits, answers, reduction="sum")
        return Scored(loss, (logits.argmax(-1) == answers).sum())


class Clock(TrainerCallback):
    """Ends training when the time is over; reads the model at regular times, which cost none."""

    def __init__(self, seconds: float, reading: Callable[[], float] | None) -> None:
        self.budget, self.reading = seconds, reading
        self.rows: list[dict[str, float]] = []
        self.seconds, self.since = 0.0, 0.0
        self.due = 1  # the reading that comes next
        self.steps: list[float] = []  # seconds of each after the first

    def on_step_end(self, args: Any, state: Any, control: Any, **named: Any) -> None:
        now = time.perf_counter()
        if self.since:
            self.steps.append(now - self.since)
            self.seconds += self.steps[-1]
        is_over = self.seconds >= self.budget
        is_due = self.seconds >= self.budget * self.due / READINGS
        if self.reading and (is_due or is_over or state.global_step == state.max_steps):
            self.due = 1 + int(READINGS * self.seconds / self.budget)
            row = {"step": state.global_step, "seconds": self.seconds, "masked_accuracy": self.reading()}
            self.rows.append(row)
            text = f"{row['seconds'] / 60:.2f} min, step {row['step']:,}: masked accuracy {row['masked_accuracy']:.4f}"
            print(text, file=sys.stderr, flush=True)
        if is_over:
            control.should_training_stop = True
        self.since = time.perf_counter()


class Contestant:
    """The Trainer around a fresh model, and the held-out text with its fixed masks."""

    def __init__(self, entry: Entry) -> None:
        self.entry, run = entry, Path(entry.run)
        self.recipe = load_recipe(run / "recipe.toml")
        train = msgspec.structs.replace(self.recipe.train, threads=entry.threads)
        self.place = evaluation_place(msgspec.structs.replace(self.recipe, train=train))
        own, context_length = Tokenizer.load(run / "tokenizer"), self.recipe.model.context_length
        assert context_length is not None
        self.tokenizer = AutoTokenizer.from_pretrained(run / "tokenizer")
        stream = TokenStream(run / "tokens", "train")
        self.windows = Windows(Sequences(stream, context_length, self.recipe.tokens.stride))
        self.held_out = fixed_masks(TokenStream(run / "tokens", "validation"), context_length, own, self.recipe)
        self.read = reading_sequences(self.held_out, self.recipe.evaluate.reading_bytes)
        self.config = BertConfig(
            vocab_size=own.vocab_size,
            hidden_size=entry.width,
            num_hidden_layers=entry.n_layers,
            num_attention_heads=entry.n_heads,
            intermediate_size=entry.mlp_width,
            max_position_embeddings=context_length,
            hidden_dropout_prob=entry.dropout,
            attention_probs_dropout_prob=entry.dropout,
        )
        self.model = BertForMaskedLM(self.config)

    def train(self) -> dict[str, Any]:
        """Train for the minutes; the readings, and the whole held-out text at the end."""
        budget = 60 * self.entry.minutes
        with TemporaryDirectory() as folder:
            warm = self._trained(folder, self.entry.warmup_steps, Clock(float("inf"), None))
            counted = warm.steps[min(UNCOUNTED, len(warm.steps) - 1) :]
            step_seconds = sum(counted) / len(counted)
            steps = max(1, round(budget / step_seconds))
            clock = self._trained(folder, steps, Clock(budget, lambda: self._measured(self.read).masked_accuracy))
        whole = self._measured(None)
        tokens = self.entry.batch_size * self.held_out.context_length
        return {
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "masked_accuracy": whole.masked_accuracy,
            "loss": whole.loss,
            "masked": whole.masked,
            "steps": len(clock.steps) + 1,
            "planned_steps": steps,
            "seconds": clock.seconds,
            "tokens_per_second": tokens * len(clock.steps) / clock.seconds if clock.seconds else 0.0,
            "curve": clock.rows,
        }

    def _trained(self, folder: str, steps: int, clock: Clock) -> Clock:
        """Train a fresh model for so many steps, or until the clock says so."""
        torch.manual_seed(self.entry.seed)
        self.model = BertForMaskedLM(self.config)  # the Trainer leaves wrappers about the one it had
        arguments = TrainingArguments(
            output_dir=folder,
            use_cpu=self.place.device.type == "cpu",
            bf16=self.place.autocast is torch.bfloat16,
            torch_compile=self.entry.compiled,
            per_device_train_batch_size=self.entry.batch_size,
            learning_rate=self.entry.learning_rate,
            max_steps=steps,
            disable_tqdm=True,
            report_to="none",
            logging_strategy="no",
            save_strategy="no",
            dataloader_pin_memory=self.place.device.type == "cuda",
            seed=self.entry.seed,
        )
        collator = DataCollatorForLanguageModeling(self.tokenizer)  # 15 %, of them 80 % [MASK] and 10 % random
        trainer = Trainer(self.model, arguments, data_collator=collator, train_dataset=self.windows, callbacks=[clock])
        trainer.train()
        return clock

    def _measured(self, indices: Any) -> Any:
        scoring: Any = Scoring(self.model)
        size = self.recipe.evaluate.batch_size
        return evaluate_masked(scoring, self.held_out, size, indices, self.place.autocast)


if __name__ == "__main__":
    answers = companion.answering()
    contestant = Contestant(Entry(**json.loads(sys.argv[1])))
    for _ in sys.stdin:
        print(json.dumps(contestant.train()), file=answers, flush=True)
