"""Speed of GPT-2 small's and BERT-base's shapes beside `transformers`: forward, backward, and the whole training step.

    python benchmarks/family_speed.py

A cell is a family, a context length, a precision, eager or compiled, and a way. Each cell is a process
with both models in it, of random weights, and the same random ids, that take turns; a pair is a turn of each,
every second pair in reverse. "forward" gives the logits, "backward" goes on through the loss to every gradient,
"step" adds AdamW. bf16 is autocast over fp32 weights on both sides. Peak memory is that of a
process with one of them alone.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measuring
import torch
from torch import Tensor

FAMILIES = ("gpt2", "bert")
SIDES = ("tezgah", "transformers")
MASKED_SHARE = 0.15  # of BERT's positions have a target


def models(family: str, context_length: int, layers: int, sides: tuple[str, ...]) -> dict[str, Any]:
    """The models, random: ours from the folder's configuration, theirs from its own class."""
    import transformers

    from tezgah.models import bert, gpt2
    from tezgah.models.families import FAMILIES as KNOWN

    made: dict[str, Any] = {}
    if "transformers" in sides:
        dry: dict[str, Any] = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        if family == "gpt2":
            made["transformers"] = transformers.GPT2LMHeadModel(
                transformers.GPT2Config(n_positions=context_length, n_layer=layers, use_cache=False, **dry)
            )
        else:
            still: dict[str, Any] = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
            made["transformers"] = transformers.BertForMaskedLM(
                transformers.BertConfig(max_position_embeddings=context_length, num_hidden_layers=layers, **still)
            )
    if "tezgah" in sides:
        if family == "gpt2":
            fields: Any = gpt2.GPT2Fields(
                n_positions=context_length, n_layer=layers, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0
            )
            config: Any = gpt2.config_of(fields, "GPT2LMHeadModel", ())
        else:
            fields = bert.BertFields(
                max_position_embeddings=context_length,
                num_hidden_layers=layers,
                hidden_dropout_prob=0,
                attention_probs_dropout_prob=0,
            )
            config = bert.config_of(fields, "BertForMaskedLM", ())
        made["tezgah"] = KNOWN[family].build(config)
        KNOWN[family].initialize(made["tezgah"], config, torch.Generator().manual_seed(1))
    return made


def turn(side: str, model: Any, arguments: argparse.Namespace, ids: Tensor, targets: Tensor) -> Callable[[], None]:
    """One forward pass, backward pass or step of a model."""
    low = arguments.dtype == "bf16"
    device = ids.device.type
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True) if arguments.way == "step" else None
    if arguments.mode == "compiled" and side == "transformers":
        model = torch.compile(model)
    elif arguments.mode == "compiled":
        for part in model.compiled_parts():
            part.compile(dynamic=False)
    counted = int((targets != -100).sum())

    def loss() -> Tensor:
        if side == "tezgah":
            return model.loss(ids, targets) / counted  # type: ignore[no-any-return]
        logits = model(ids).logits
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())

    def once() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=low):
            if arguments.way == "forward":
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


def cell(arguments: argparse.Namespace) -> dict[str, Any]:
    """What one process measures: seconds of each side's turns, and its peak memory."""
    torch.manual_seed(1)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    sides = tuple(arguments.sides)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch = max(1, arguments.tokens // arguments.context)
    made = {
        name: model.to(device)
        for name, model in models(arguments.family, arguments.context, arguments.layers, sides).items()
    }
    vocabulary = 50_257 if arguments.family == "gpt2" else 30_522
    ids = torch.randint(0, vocabulary, (batch, arguments.context), device=device)
    if arguments.family == "gpt2":
        targets = torch.cat([ids[:, 1:], torch.full_like(ids[:, :1], -100)], 1)
    else:
        targets = torch.where(torch.rand(ids.shape, device=device) < MASKED_SHARE, ids, -100)
    turns = {name: turn(name, model, arguments, ids, targets) for name, model in made.items()}
    for once in turns.values():
        once()
        once()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(arguments.pairs):
        for name in sides if number % 2 == 0 else reversed(sides):
            begun = time.perf_counter()
            turns[name]()
            if device == "cuda":
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - begun)
    peak = (
        torch.cuda.max_memory_allocated()
        if device == "cuda"
        else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    )
    return {"seconds": seconds, "tokens": batch * arguments.context, "peak_bytes": peak}


def run_cell(
    arguments: argparse.Namespace, names: dict[str, Any], sides: tuple[str, ...], pairs: int
) -> dict[str, Any]:
    """A cell in a process of its own."""
    command = [sys.executable, __file__, "--cell", "--sides", *sides, "--pairs", str(pairs)]
    command += [
        "--tokens",
        str(arguments.tokens),
        "--layers",
        str(arguments.layers),
        "--threads",
        str(arguments.threads),
    ]
    for name, value in names.items():
        command += [f"--{name}", str(value)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    arguments = parser().parse_args()
    if arguments.cell:
        print(json.dumps(cell(arguments)))
        return
    begun = measuring.conditions()
    rows, results = [], []
    for family in arguments.families:
        for context in arguments.contexts:
            for dtype in arguments.dtypes:
                for mode in arguments.modes:
                    for way in arguments.ways:
                        names = {"family": family, "context": context, "dtype": dtype, "mode": mode, "way": way}
                        found = run_cell(arguments, names, SIDES, arguments.pairs)
                        memory = (
                            {side: run_cell(arguments, names, (side,), 1)["peak_bytes"] for side in SIDES}
                            if way in arguments.memory_ways
                            else {}
                        )
                        results.append({**names, **found, "memory": memory})
                        rows.append(row(results[-1]))
                        print(" | ".join(rows[-1]), file=sys.stderr)
    header = ["family", "context", "precision", "mode", "way", "tokens/s", "÷ transformers", "peak memory, MB (theirs)"]
    title = f"GPT-2 small's and BERT-base's shapes beside transformers, {arguments.layers} layers"
    table = measuring.markdown_table(header, rows)
    measuring.write_results(arguments.results, arguments.name, title, table, {"cells": results}, begun)


def row(found: dict[str, Any]) -> list[str]:
    """A cell's line."""
    ours, theirs = found["seconds"]["tezgah"], found["seconds"]["transformers"]
    ratio = measuring.spread([b / a for a, b in zip(ours, theirs, strict=True)])
    speed = measuring.spread([found["tokens"] / seconds for seconds in ours])
    memory = found["memory"]
    told = f"{memory['tezgah'] / 1e6:,.0f} ({memory['transformers'] / 1e6:,.0f})" if memory else "–"
    names = [str(found[name]) for name in ("family", "context", "dtype", "mode", "way")]
    return [*names, speed.text(), ratio.text(2), told]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    description = (__doc__ or "").split("\n")[0]
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("--families", nargs="+", default=list(FAMILIES), choices=FAMILIES)
    made.add_argument("--contexts", nargs="+", type=int, default=[128, 512, 1_024])
    made.add_argument("--dtypes", nargs="+", default=["fp32", "bf16"], choices=["fp32", "bf16"])
    made.add_argument("--modes", nargs="+", default=["eager", "compiled"], choices=["eager", "compiled"])
    made.add_argument("--ways", nargs="+", default=["forward", "backward", "step"])
    made.add_argument("--memory-ways", nargs="*", default=["step"], help="ways whose peak memory is measured too")
    made.add_argument("--layers", type=int, default=12, help="blocks of each model")
    made.add_argument("--tokens", type=int, default=1_024, help="tokens of a turn")
    made.add_argument("--pairs", type=int, default=5, help="turns of each side")
    made.add_argument("--threads", type=int, default=0, help="threads; 0 leaves it to torch")
    made.add_argument("--results", type=Path, default=measuring.RESULTS, help="folder for the results")
    made.add_argument("--name", default="family_speed", help="name of the result's files")
    made.add_argument("--cell", action="store_true", help=argparse.SUPPRESS)
    made.add_argument("--sides", nargs="+", default=list(SIDES), help=argparse.SUPPRESS)
    for name in ("family", "dtype", "mode", "way"):
        made.add_argument(f"--{name}", help=argparse.SUPPRESS)
    made.add_argument("--context", type=int, help=argparse.SUPPRESS)
    return made


if __name__ == "__main__":
    main()
