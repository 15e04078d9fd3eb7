"""Opening a Hugging Face folder: seconds and peak memory, ours beside `from_pretrained`.

    python benchmarks/folder_loading.py

The folders hold GPT-2 small and BERT-base with random weights. Each timing is a process of its own that imports
its library first; the folders have been read before, so the disk's cache is warm. Read: every parameter is summed
after opening, because what is mapped into memory has not been read yet.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import measuring

MODELS = {"gpt2": ("GPT2LMHeadModel", "GPT2Config"), "bert": ("BertForMaskedLM", "BertConfig")}
SIDES = ("tezgah", "transformers")


def make_folder(family: str, folder: Path) -> Path:
    """The folder of a random model, made where it is not there."""
    import transformers

    path = folder / family
    if not (path / "model.safetensors").exists():
        model_class, config_class = MODELS[family]
        getattr(transformers, model_class)(getattr(transformers, config_class)()).save_pretrained(path)
    return path


def opened(side: str, family: str, path: Path) -> dict[str, Any]:
    """What one process sees of itself: seconds to open, seconds with every weight read, and memory at its peak."""
    import torch
    import transformers

    from tezgah.models.checkpoint import load_model

    model_class = getattr(transformers, MODELS[family][0])
    torch.nn.functional.linear(torch.ones(2, 2), torch.ones(2, 2))
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    begun = time.perf_counter()
    model = load_model(path) if side == "tezgah" else model_class.from_pretrained(path)
    open_seconds = time.perf_counter() - begun
    total = float(sum(parameter.detach().sum() for parameter in model.parameters()))
    read_seconds = time.perf_counter() - begun
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    peak = _resident("VmHWM")
    return {
        "open_seconds": open_seconds,
        "read_seconds": read_seconds,
        "peak_bytes": peak - before,
        "weights_bytes": weights,
        "sum": total,
    }


def _resident(field: str) -> int:
    """Bytes of memory that Linux counts for this process, now (VmRSS) or at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(f"{field}:")))


def main() -> None:
    arguments = parser().parse_args()
    if arguments.side:
        print(json.dumps(opened(arguments.side, arguments.family, arguments.folder)))
        return
    begun = measuring.conditions()
    rows, results = [], []
    for family in MODELS:
        path = make_folder(family, arguments.folder)
        found: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
        for number in range(arguments.rounds + 1):
            for side in SIDES if number % 2 == 0 else reversed(SIDES):
                command = [sys.executable, __file__, "--side", side, "--family", family, "--folder", str(path)]
                environment = os.environ | {"HF_HUB_OFFLINE": "1"}
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
                if number:  # the first warms the disk's cache
                    found[side].append(json.loads(done.stdout.splitlines()[-1]))
        results.append({"family": family, "rounds": found})
        for side in SIDES:
            opening, reading = (
                measuring.spread([each[name] for each in found[side]]) for name in ("open_seconds", "read_seconds")
            )
            peak = measuring.spread([each["peak_bytes"] / each["weights_bytes"] for each in found[side]])
            ratio = measuring.spread(
                [b["read_seconds"] / a["read_seconds"] for a, b in zip(found["tezgah"], found[side], strict=True)]
            )
            rows.append([family, side, opening.text(2), reading.text(2), ratio.text(2), peak.text(2)])
    header = ["folder", "opened by", "seconds to open", "and with all read", "÷ tezgah", "peak memory ÷ weights"]
    title = "Opening GPT-2 small and BERT-base"
    table = measuring.markdown_table(header, rows)
    measuring.write_results(arguments.results, "folder_loading", title, table, {"folders": results}, begun)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    description = (__doc__ or "").split("\n")[0]
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("--rounds", type=int, default=5, help="times each side opens each folder")
    made.add_argument("--folder", type=Path, default=Path("runs/bench/folders"), help="where the folders are kept")
    made.add_argument("--results", type=Path, default=measuring.RESULTS, help="folder for the results")
    made.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    made.add_argument("--family", choices=list(MODELS), help=argparse.SUPPRESS)
    return made


if __name__ == "__main__":
    main()
