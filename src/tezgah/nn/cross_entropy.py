"""The loss at the end: logits and their cross-entropy, a slice of rows at a time.

The full logits, (tokens, vocab), are the largest tensor of a small model's step. Here a slice of
them is made, turned into its gradient while it is still in cache, and forgotten, so that the
backward pass only multiplies by the incoming gradient. The products are those of the plain way;
4,096 tokens × 384 × 12,544 ids took 340 ms against 370 for the compiled plain way (2 cores, bf16).
Uncompiled, torch's own cross-entropy of all logits takes half the time, and is taken where they fit.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.profiler import record_function
from torch.nn import functional as F

from tezgah.nn.precision import widened

LOSS = "loss and head"  # what a profiler finds the computation here under
IGNORED = -100  # target of a position without a loss

# Logits in a slice: 512 rows of 12,544 ids, 13 MB in bf16, fit a shared cache. But every slice adds a gradient to
# the head's whole matrix: of 50,257 ids × 768, 1,024 tokens took 2.8 s in eight slices and 1.0 in one.
SLICE_LOGITS = 6_422_528
SLICE_ROWS = 1_024
PLAIN_LOGITS = 1 << 26  # of all rows, with their gradients a gigabyte: beyond it they are sliced uncompiled too


class Scored(NamedTuple):
    """What logits are worth: the summed loss in nats, and how many targets are the likeliest id of their position."""

    loss: Tensor
    hits: Tensor


class SoftmaxSlope(nn.Module):
    """The loss of a slice of logits and its gradient; a module so that it can be compiled in place.

    In training a share `smoothing` of each target is spread over all ids (Szegedy et al. 2016, section 7), and
    `z_loss` × log²(Σ exp) is added, which keeps logits from drifting (Chowdhery et al. 2022, section 5).
    """

    def __init__(self, smoothing: float = 0.0, z_loss: float = 0.0) -> None:
        super().__init__()
        self.smoothing, self.z_loss = smoothing, z_loss

    def forward(self, logits: Tensor, answers: Tensor) -> tuple[Tensor, Tensor]:
        """Summed loss and hits of `logits`, (rows, vocab), which then hold the slope: softmax minus one-hot, usually.

        `answers`, (rows,), holds IGNORED where nothing is predicted: loss and slope are 0 there.
        """
        scores = widened(logits)
        counted = (answers != IGNORED)[:, None]  # (rows, 1)
        answers = answers.clamp_min(0)[:, None]
        top = scores.amax(-1, keepdim=True)
        powers = (scores - top).exp()
        total = powers.sum(-1, keepdim=True)  # (rows, 1)
        log_total = total.log() + top
        losses = log_total - (1 - self.smoothing) * scores.gather(-1, answers)
        chosen = torch.arange(scores.shape[-1], device=scores.device) == answers  # (rows, vocab)
        slope = powers / total * (1 + 2 * self.z_loss * log_total) - (1 - self.smoothing) * chosen.to(powers.dtype)
        if self.smoothing:
            losses = losses - self.smoothing * scores.mean(-1, keepdim=True)
            slope = slope - self.smoothing / scores.shape[-1]
        losses = losses + self.z_loss * log_total**2
        scored = (losses * counted).sum(), hits(scores, answers, counted)
        logits.copy_((slope * counted).to(logits.dtype))
        return scored

    def plain(self, logits: Tensor, answers: Tensor) -> Scored:
        """The same by torch's own functions, which keep what their gradient needs."""
        scores = widened(logits)
        loss = F.cross_entropy(scores, answers, ignore_index=IGNORED, reduction="sum", label_smoothing=self.smoothing)
        if self.z_loss:
            loss = loss + self.z_loss * (scores.logsumexp(-1) ** 2 * (answers != IGNORED)).sum()
        return Scored(loss, (scores.argmax(-1) == answers).sum())


def hits(scores: Tensor, answers: Tensor, counted: Tensor) -> Tensor:
    """How many of the `counted` rows of `scores`, (rows, vocab), are highest at their answer; all others (rows, 1).

    Of equal scores the first id is the highest, as argmax has it: in 16 bits they are not rare. Compiled it rides on
    the passes of the softmax, which argmax would not; uncompiled argmax costs a fifth of these comparisons.
    """
    own = scores.gather(-1, answers)
    is_before = torch.arange(scores.shape[-1], device=scores.device) < answers  # (rows, vocab)
    better = (scores > own) | ((scores == own) & is_before)
    return ((better.sum(-1, keepdim=True) == 0) & counted).sum()


@record_function(LOSS)
def cross_entropy_sum(
    hidden: Tensor, weight: Tensor, targets: Tensor, softmax_slope: SoftmaxSlope, bias: Tensor | None = None
) -> Scored:
    """The cross-entropies of `targets`, in nats and summed, under softmax(hidden · weightᵀ + bias); and the hits.

    `hidden` is (batch, time, width), `weight` (vocab, width), `bias` (vocab,), `targets` (batch, time) with
    IGNORED where nothing is predicted. Logits are in the precision of autocast, the softmax and
    the sum in float32. Both are scalars, the loss float32. What `softmax_slope` adds is added where
    gradients are wanted alone.
    """
    rows, answers = hidden.flatten(0, 1), targets.flatten()  # (tokens, width), (tokens,)
    if torch.is_autocast_enabled(rows.device.type):
        rows = rows.to(torch.get_autocast_dtype(rows.device.type))
    if torch.is_grad_enabled() and (rows.requires_grad or weight.requires_grad):
        fits = len(rows) * len(weight) <= PLAIN_LOGITS
        if fits and softmax_slope._compiled_call_impl is None:
            return softmax_slope.plain(F.linear(rows, weight, bias), answers)
        return Scored(*_SlicedLoss.apply(rows, weight, answers, softmax_slope, bias))  # type: ignore[no-untyped-call]
    with torch.autocast(rows.device.type, enabled=False):
        weight, shift = weight.to(rows.dtype), None if bias is None else bias.to(rows.dtype)
        plain = SoftmaxSlope().plain
        scored = [
            plain(F.linear(part, weight, shift), answer) for part, answer in _slices(rows, answers, weight.shape[0])
        ]
    return Scored(*(torch.stack(each).sum() for each in zip(*scored, strict=True)))


def _slices(rows: Tensor, answers: Tensor, vocab_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Equal slices where a number of them divides the rows, so that compiled code sees one shape."""
    fewest = min(-(-len(rows) * vocab_size // SLICE_LOGITS), -(-len(rows) // SLICE_ROWS))
    count = next((n for n in range(fewest, 4 * fewest) if len(rows) % n == 0), fewest)
    size = -(-len(rows) // count)
    return zip(torch.split(rows, size), torch.split(answers, size), strict=True)


class _SlicedLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows, weight, answers, softmax_slope, bias):  # type: ignore[no-untyped-def]
        with torch.autocast(rows.device.type, enabled=False):
            low, shift = weight.to(rows.dtype), None if bias is None else bias.to(rows.dtype)
            losses, found, row_gradients = [], [], []
            weight_gradient, bias_gradient = None, None
            parts = list(_slices(rows, answers, len(weight)))
            held = rows.new_empty(len(parts[0][0]), len(weight))  # the last slice may be shorter
            for part, answer in parts:
                slope = _linear_into(held[: len(part)], part, low, shift)  # (slice, vocab): logits as yet
                loss, right = softmax_slope(slope, answer)
                losses.append(loss)
                found.append(right)
                row_gradients.append(slope @ low)
                weight_gradient = _added(weight_gradient, slope.T @ part)
                if bias is not None:
                    bias_gradient = _added(bias_gradient, slope.sum(0, dtype=torch.float32))
        ctx.save_for_backward(torch.cat(row_gradients), weight_gradient, bias_gradient)
        ctx.dtypes = weight.dtype, None if bias is None else bias.dtype
        all_hits = torch.stack(found).sum()
        ctx.mark_non_differentiable(all_hits)
        return torch.stack(losses).sum(), all_hits

    @staticmethod
    def backward(ctx, upstream, _):  # type: ignore[no-untyped-def]
        rows, weight, bias = ctx.saved_tensors
        weight_dtype, bias_dtype = ctx.dtypes
        bias = None if bias is None else (bias * upstream).to(bias_dtype)
        weight = weight.to(weight_dtype, copy=True).mul_(upstream)
        return (rows * upstream).to(rows.dtype), weight, None, None, bias


def _linear_into(held: Tensor, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.linear` into `held`, (rows, vocab).

    Logits and slope of 131,072 ids in blocks of their own, taken anew for each slice, took 5.2 s a step and 2.9 GB;
    in one block 3.8 s and 2.4 GB (4 layers × 256, 4,096 tokens, 2 cores).
    """
    if bias is None:
        return torch.mm(rows, weight.T, out=held)
    return torch.addmm(bias, rows, weight.T, out=held)


def _added(total: Tensor | None, part: Tensor) -> Tensor:
    """The sum of a gradient's parts, in float32 from the second part on: a single one stays as the product made it."""
    return part if total is None else total.to(torch.promote_types(part.dtype, torch.float32)).add_(part)
