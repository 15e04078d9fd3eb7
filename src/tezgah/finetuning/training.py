"""The loop that trains a classifier, and keeps the weights of its best reading."""

import copy
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

RATE, RATE_WIDTH = 5e-5, 768  # BERT-base's largest (Devlin et al. 2019, appendix A.3); others by 1 / width
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
    loss: float
    seconds: float
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
    batches = -(-len(learned.targets) // settings.batch_size)
    steps = settings.epochs * batches
    schedule = TrainTable(schedule="linear", warmup_steps=math.ceil(WARMUP * steps))
    optimizer = GroupOptimizer(layer_groups(model, settings), torch.float32)
    weights = _class_weights(learned.targets, len(model.config.labels), settings).to(place.device)
    done, best = Trained(), None
    try:
        with progress("finetuning", settings.epochs * len(learned.targets), "texts") as bar:
            for epoch in range(settings.epochs):
                begun, total = time.monotonic(), 0.0
                order = epoch_batches(learned.rows.lengths, settings.batch_size, settings.seed, epoch)
                for number, chosen in enumerate(order, start=1):
                    step = epoch * batches + number
                    factor = learning_rate_factor(step, steps, schedule)
                    for group in optimizer.param_groups:
                        group["lr"] = group["peak_lr"] * factor
                    torch.manual_seed(named_seed(settings.seed, "dropout", step))
                    model.train()
                    with place.precision():
                        logits = scores(model, batch_of(learned.rows, chosen), place)
                    loss = label_loss(logits, _on(place, learned.targets[chosen]), weights)
                    loss.backward()  # type: ignore[no-untyped-call]
                    torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
                    if not math.isfinite(value := float(loss.detach())):
                        raise InputError(f"the loss is {value} at step {step:,}. Lower --lr.")
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=True)
                    total += value * len(chosen)
                    bar.advance(len(chosen), _note(epoch, settings.epochs, value, done))
                reading = _read(model, held_out, place, settings, epoch + 1, total / len(learned.targets), begun, done)
                tell(reading)
                if _is_best(done):
                    best = copy.deepcopy({name: each.detach().cpu() for name, each in model.named_parameters()})
                elif settings.patience and reading.epoch - done.best_epoch >= settings.patience:
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
    rate = settings.lr or RATE * RATE_WIDTH / model.config.width
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


def _depth(name: str, top: int) -> int:
    """How far above the embeddings a parameter stands.

    >>> [_depth(name, 3) for name in ("embedding_norm.weight", "stack.blocks.1.mlp.up.weight", "pooler.weight")]
    [0, 2, 3]
    """
    if name.startswith("stack.blocks."):
        return 1 + int(name.split(".")[2])
    return 0 if name.startswith(("embedding", "positions", "token_types")) else top


def _class_weights(targets: NDArray[np.int64], labels: int, settings: FinetuneSettings) -> Tensor:
    """By the inverse of each class's count, the mean text having 1; where several labels may be, absent ÷ present."""
    if not settings.class_weights:
        return torch.ones(labels)
    if targets.ndim == 2:
        present = np.maximum(targets.sum(0), 1)
        return torch.from_numpy((len(targets) - present) / present).float()
    counts = np.maximum(np.bincount(targets, minlength=labels), 1)
    return torch.from_numpy(len(targets) / (labels * counts)).float()


def _read(
    model: Any,
    held_out: Labelled | None,
    place: Place,
    settings: FinetuneSettings,
    epoch: int,
    loss: float,
    begun: float,
    done: Trained,
) -> Epoch:
    """Measure the model on what is held out, and keep its scores where they are the best."""
    if held_out is None:
        reading = Epoch(epoch, loss, time.monotonic() - begun)
        done.best_epoch = epoch
    else:
        logits = predict(model, held_out.rows, place, 2 * settings.batch_size)
        validation_loss = float(label_loss(torch.from_numpy(logits), torch.from_numpy(held_out.targets)))
        is_multi = held_out.targets.ndim == 2
        measured = measure(probabilities_of(logits, is_multi), held_out.targets, model.config.labels)
        seconds = time.monotonic() - begun
        reading = Epoch(epoch, loss, seconds, validation_loss, measured.accuracy, measured.macro_f1)
        if done.logits is None or _goodness(reading) > _goodness(done.history[done.best_epoch - 1]):
            done.best_epoch, done.logits = epoch, logits
    done.history.append(reading)
    return reading


def _goodness(reading: Epoch) -> tuple[float, float]:
    """What the best epoch is chosen by: macro-F1, of equals the lower loss."""
    assert reading.macro_f1 is not None and reading.validation_loss is not None
    return reading.macro_f1, -reading.validation_loss


def _is_best(done: Trained) -> bool:
    """Whether the last epoch is the best of those with a reading."""
    return done.logits is not None and done.best_epoch == len(done.history)


def _note(epoch: int, epochs: int, loss: float, done: Trained) -> str:
    best = done.history[done.best_epoch - 1].macro_f1 if done.history and done.best_epoch else None
    told = "" if best is None else f", best macro-F1 {best:.3f}"
    return f"epoch {epoch + 1}/{epochs}, loss {loss:.3f}{told}"


def _on(place: Place, targets: NDArray[np.int64]) -> Tensor:
    return place.tensors(targets)[0]
