"""The loop that trains a classifier, and keeps the weights of its best reading."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from tezgah.console import progress
from tezgah.errors import InputError
from tezgah.finetuning.batches import Batch, batch_of, epoch_batches, sorted_batches
from tezgah.finetuning.metrics import measure, probabilities_of
from tezgah.finetuning.settings import FinetuneSettings
from tezgah.models.config import EncoderConfig
from tezgah.seeds import named_seed
from tezgah.tokenizer.framed import Framed
from tezgah.training.optimizer import GroupOptimizer
from tezgah.training.place import Place
from tezgah.training.schedule import learning_rate_factor
from tezgah.training.settings import TrainTable

RATE, RATE_WIDTH = 5e-5, 768  # BERT-base's largest (Devlin et al. 2019, appendix A.3)
LARGEST_RATE = 2e-3
WARMUP = 0.1  # of all steps
BETAS = (0.9, 0.999)
CLIP = 1.0  # largest norm of the gradient


@dataclass(frozen=True)
class Labelled:
    """Rows with the number of their label, (rows,), or 1 for each label they have, (rows, labels)."""

    rows: Framed
    targets: NDArray[np.int64]


class Epoch(msgspec.Struct, frozen=True):
    """What an epoch came to; `loss` is the training's own, with dropout. Without held-out texts the rest is None."""

    epoch: int
    loss: float = 0.0
    seconds: float = 0.0
    validation_loss: float | None = None
    accuracy: float | None = None
    macro_f1: float | None = None


@dataclass
class Trained:
    """What a training came to; `logits`, (held-out rows, labels), are those of the best epoch."""

    history: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    logits: NDArray[np.float32] | None = None
    stopped: bool = False  # by the user


def train(
    model: Any,
    learned: Labelled,
    held_out: Labelled | None,
    settings: FinetuneSettings,
    place: Place,
    tell: Callable[[Epoch], None] = lambda epoch: None,
) -> Trained:
    """Train `model` in place; with `held_out` texts it ends with the weights of the epoch of highest macro-F1 there.

    A stop by the user keeps the best so far, if there is a reading; else KeyboardInterrupt goes on. Raises
    InputError where the loss is no number any more.
    """
    model.to(place.device)
    stepper, done = Stepper(model, learned, settings, place), Trained()
    best: dict[str, Tensor] | None = None
    try:
        with progress("finetuning", settings.epochs * len(learned.targets), "texts") as bar:
            for epoch in range(settings.epochs):
                begun, total = time.monotonic(), 0.0
                for chosen in epoch_batches(learned.rows.lengths, settings.batch_size, settings.seed, epoch):
                    loss = stepper.step(chosen)
                    total += loss * len(chosen)
                    bar.advance(len(chosen), _note(epoch, settings.epochs, loss, done))
                reading = _read(model, held_out, settings, place, done)
                if held_out is not None and done.best_epoch == reading.epoch:
                    best = {name: each.detach().to("cpu", copy=True) for name, each in model.named_parameters()}
                loss, seconds = total / len(learned.targets), time.monotonic() - begun
                done.history.append(msgspec.structs.replace(reading, loss=loss, seconds=seconds))
                tell(done.history[-1])
                if settings.patience and reading.epoch - done.best_epoch >= settings.patience:
                    break
    except KeyboardInterrupt:
        if best is None:
            raise
        done.stopped = True
    if best is not None:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(best[name])
    model.eval()
    return done


class Stepper:
    """Takes steps of AdamW on batches; the rate rises linearly over a tenth of all steps and falls to 0."""

    def __init__(self, model: Any, learned: Labelled, settings: FinetuneSettings, place: Place) -> None:
        self.model, self.learned, self.settings, self.place = model, learned, settings, place
        self.steps = settings.epochs * -(-len(learned.targets) // settings.batch_size)
        self.schedule = TrainTable(schedule="linear", warmup_steps=math.ceil(WARMUP * self.steps))
        self.optimizer = GroupOptimizer(layer_groups(model, settings), torch.float32)
        self.weights = class_weights(learned.targets, len(model.config.labels), settings).to(place.device)
        self.done = 0

    def step(self, chosen: NDArray[np.int64]) -> float:
        """Batch, loss, gradients, clip, update; returns the loss. Raises InputError where it is no number."""
        self.done += 1
        factor = learning_rate_factor(self.done, self.steps, self.schedule)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
        torch.manual_seed(named_seed(self.settings.seed, "dropout", self.done))
        self.model.train()
        with self.place.precision():
            logits = scores(self.model, batch_of(self.learned.rows, chosen), self.place)
        (targets,) = self.place.tensors(self.learned.targets[chosen])
        loss = label_loss(logits, targets, self.weights)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise InputError(f"the loss is {value} at step {self.done:,}. Lower --lr.")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return value


@torch.no_grad()
def predict(model: Any, rows: Framed, place: Place, batch_size: int) -> NDArray[np.float32]:
    """The scores of every label, (rows, labels), in the order of `rows`."""
    model.eval()
    found = np.zeros((len(rows.ids), len(model.config.labels)), np.float32)
    for chosen in sorted_batches(rows.lengths, batch_size):
        with place.precision():
            found[chosen] = scores(model, batch_of(rows, chosen), place).float().cpu().numpy()
    return found


def scores(model: Any, batch: Batch, place: Place) -> Tensor:
    """The scores of every label, (batch, labels)."""
    ids, mask, types = place.moved(batch.ids, batch.mask, batch.types)
    has_types = isinstance(model.config, EncoderConfig) and model.config.n_token_types > 1
    return model(ids, mask, types if has_types else None)  # type: ignore[no-any-return]


def label_loss(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """The mean cross-entropy of labels, in nats: of one label a text, targets (batch,), or of each label by itself.

    `weights`, (labels,), are of classes; where a text may have several labels, of its having one.
    """
    if targets.ndim == 1:
        return F.cross_entropy(logits.float(), targets, weight=weights)
    return F.binary_cross_entropy_with_logits(logits.float(), targets.float(), pos_weight=weights)


def layer_groups(model: Any, settings: FinetuneSettings) -> list[dict[str, Any]]:
    """Parameters for AdamW, the rate of each block `layer_decay` times that of the one above (Howard and Ruder 2018).

    The head and what stands around it has the full rate, embeddings the lowest. Decay is for matrices.
    """
    rate = settings.lr or default_rate(model.config.width)
    top = model.config.n_layers + 1
    groups: dict[tuple[int, bool], list[tuple[str, Tensor]]] = {}
    for name, parameter in model.named_parameters():
        groups.setdefault((_depth(name, top), parameter.ndim >= 2), []).append((name, parameter))
    return [
        {
            "algorithm": "adamw",
            "params": parameters,
            "lr": rate * settings.layer_decay ** (top - depth),
            "betas": BETAS,
            "weight_decay": settings.weight_decay if decays else 0.0,
        }
        for (depth, decays), parameters in groups.items()
    ]


def default_rate(width: int) -> float:
    """The peak learning rate by 1 / width²: a small model knows less, and has further to go (docs/experiments.md).

    >>> [round(default_rate(width), 6) for width in (768, 256, 64)]
    [5e-05, 0.00045, 0.002]
    """
    return min(RATE * (RATE_WIDTH / width) ** 2, LARGEST_RATE)


def _depth(name: str, top: int) -> int:
    """How far above the embeddings a parameter stands.

    >>> [_depth(name, 3) for name in ("embedding_norm.weight", "stack.blocks.1.mlp.up.weight", "pooler.weight")]
    [0, 2, 3]
    """
    if name.startswith("stack.blocks."):
        return 1 + int(name.split(".")[2])
    return 0 if name.startswith(("embedding", "positions", "token_types")) else top


def class_weights(targets: NDArray[np.int64], labels: int, settings: FinetuneSettings) -> Tensor:
    """By the inverse of each class's count, the mean text having 1; where several labels may be, absent ÷ present."""
    if not settings.class_weights:
        return torch.ones(labels)
    if targets.ndim == 2:
        present = np.maximum(targets.sum(0), 1)
        return torch.from_numpy((len(targets) - present) / present).float()
    counts = np.maximum(np.bincount(targets, minlength=labels), 1)
    return torch.from_numpy(len(targets) / (labels * counts)).float()


def _read(model: Any, held_out: Labelled | None, settings: FinetuneSettings, place: Place, done: Trained) -> Epoch:
    """Measure the model on what is held out after an epoch, and note it and its scores where they are the best."""
    epoch = len(done.history) + 1
    if held_out is None:
        done.best_epoch = epoch
        return Epoch(epoch)
    logits = predict(model, held_out.rows, place, 2 * settings.batch_size)
    loss = float(label_loss(torch.from_numpy(logits), torch.from_numpy(held_out.targets)))
    probabilities = probabilities_of(logits, held_out.targets.ndim == 2)
    measured = measure(probabilities, held_out.targets, model.config.labels)
    reading = Epoch(epoch, validation_loss=loss, accuracy=measured.accuracy, macro_f1=measured.macro_f1)
    if done.logits is None or _goodness(reading) > _goodness(done.history[done.best_epoch - 1]):
        done.best_epoch, done.logits = epoch, logits
    return reading


def _goodness(reading: Epoch) -> tuple[float, float]:
    """What the best epoch is chosen by: macro-F1, of equals the lower loss."""
    assert reading.macro_f1 is not None and reading.validation_loss is not None
    return reading.macro_f1, -reading.validation_loss


def _note(epoch: int, epochs: int, loss: float, done: Trained) -> str:
    best = done.history[done.best_epoch - 1].macro_f1 if done.history and done.best_epoch else None
    told = "" if best is None else f", best macro-F1 {best:.3f}"
    return f"epoch {epoch + 1}/{epochs}, loss {loss:.3f}{told}"
