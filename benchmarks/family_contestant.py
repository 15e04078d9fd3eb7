"""One side of `family_speed.py`: a random model of GPT-2 small's or BERT-base's shape, and its turns.

It is a process of its own, so that its memory is its own too: ours keeps freed memory where it trains
(`training/allocator.py`), as every training of tezgah's does.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import companion
import torch
from torch import Tensor

MASKED_SHARE = 0.15  # of BERT's positions have a target
VOCABULARY = {"gpt2": 50_257, "bert": 30_522}


@dataclass(frozen=True)
class Cell:
    """What is measured: a family at a context length, in a precision, eager or compiled, in one of three ways."""

    family: str
    context: int
    dtype: str
    mode: str
    way: str
    layers: int = 12
    tokens: int = 1_024  # of a turn
    threads: int = 0  # 0 leaves them to torch

    @property
    def batch(self) -> int:
        """Sequences of a turn."""
        return max(1, self.tokens // self.context)


def config_of(cell: Cell) -> Any:
    """Our configuration, as a folder of transformers' states it; without dropout."""
    from tezgah.models import bert, gpt2

    if cell.family == "gpt2":
        dry = gpt2.GPT2Fields(n_positions=cell.context, n_layer=cell.layers, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)
        return gpt2.config_of(dry, "GPT2LMHeadModel", ())
    still = bert.BertFields(
        max_position_embeddings=cell.context,
        num_hidden_layers=cell.layers,
        hidden_dropout_prob=0,
        attention_probs_dropout_prob=0,
    )
    return bert.config_of(still, "BertForMaskedLM", ())


def build_ours(cell: Cell) -> Any:
    """Our model."""
    from tezgah.models.families import FAMILIES

    config, family = config_of(cell), FAMILIES[cell.family]
    model = family.build(config)
    family.initialize(model, config, torch.Generator().manual_seed(1))
    return model


def build_theirs(cell: Cell) -> Any:
    """The model of transformers."""
    import transformers

    if cell.family == "gpt2":
        dry: dict[str, Any] = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        return transformers.GPT2LMHeadModel(
            transformers.GPT2Config(n_positions=cell.context, n_layer=cell.layers, use_cache=False, **dry)
        )
    still: dict[str, Any] = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return transformers.BertForMaskedLM(
        transformers.BertConfig(max_position_embeddings=cell.context, num_hidden_layers=cell.layers, **still)
    )


def batch_of(cell: Cell, device: str) -> tuple[Tensor, Tensor]:
    """Random ids and their targets, (batch, context): the next id, or some ids themselves."""
    ids = torch.randint(0, VOCABULARY[cell.family], (cell.batch, cell.context), device=device)
    if cell.family == "gpt2":
        return ids, torch.cat([ids[:, 1:], torch.full_like(ids[:, :1], -100)], 1)
    return ids, torch.where(torch.rand(ids.shape, device=device) < MASKED_SHARE, ids, -100)


def turn_of(side: str, model: Any, cell: Cell, ids: Tensor, targets: Tensor) -> Callable[[], None]:
    """One forward pass, backward pass or step of a model."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True) if cell.way == "step" else None
    if cell.mode == "compiled" and side == "transformers":
        model = torch.compile(model)
    elif cell.mode == "compiled":
        for part in model.compiled_parts():
            part.compile(dynamic=False)
    counted = int((targets != -100).sum())

    def loss() -> Tensor:
        if side == "tezgah":
            return model.loss(ids, targets) / counted  # type: ignore[no-any-return]
        logits = model(ids).logits
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())

    def once() -> None:
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=cell.dtype == "bf16"):
            if cell.way == "forward":
                with torch.no_grad():
                    found = model(ids)
                    found = found if side == "tezgah" else found.logits
                    float(found[0, 0, 0])
                return
            value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        if optimizer is not None:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        else:
            for parameter in model.parameters():
                parameter.grad = None
        float(value.detach())

    return once


def main(side: str, cell: Cell) -> None:
    """Take a turn for every line; answer with its seconds, and the most memory so far."""
    answers = companion.answering()
    torch.manual_seed(1)
    if cell.threads:
        torch.set_num_threads(cell.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if side == "tezgah" and cell.way != "forward" and device == "cpu":
        from tezgah.training.allocator import keep_freed_memory

        keep_freed_memory()
    model = (build_ours if side == "tezgah" else build_theirs)(cell).to(device)
    once = turn_of(side, model, cell, *batch_of(cell, device))
    for _ in sys.stdin:
        begun = time.perf_counter()
        once()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - begun
        resident = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak = torch.cuda.max_memory_allocated() if device == "cuda" else resident
        print(json.dumps({"seconds": seconds, "peak_bytes": peak}), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Cell(**json.loads(sys.argv[2])))
