"""Tokens a second of greedy decoding beside `transformers.generate`, and beside what the weights' products allow.

    python benchmarks/decoding.py [--shapes gpt2-124m,qwen3-20m] [--rows 1,8,32] [--precisions fp32,bf16,int8]

Random weights, prompts of 32 tokens. A step's time is that of a whole generation less that of two tokens, over the
steps between; sides take turns, each in a process of its own. `transformers` runs with its dynamic cache and its
static one (of one row: more rows take as long with either), and compiled where --compiled names the rows; its faster
one counts. Beside: 200 samples of one prompt, the
time to the first token of 512, and a step's time after 64 and 900 tokens.
"""

import argparse
import dataclasses
import json
from collections import defaultdict
from typing import Any

import decoding_contestant
import measuring
from companion import Companion
from decoding_contestant import CONTEXT, SHAPES, Cell

SIDES = ("tezgah", "dynamic", "static", "compiled")
PROMPT, FIRST_PROMPT = 32, 512
EARLY, LATE = 64, 900  # tokens held where the cost of a token is measured
LATE_STEPS = 48


class Sides:
    """The processes of one shape in one precision."""

    def __init__(self, shape: str, precision: str, sides: list[str], threads: int) -> None:
        cells = {side: Cell(side, shape, precision, threads) for side in sides}
        script = decoding_contestant.__file__
        self.processes = {
            side: Companion(f"{side}, {shape}, {precision}", [script, json.dumps(dataclasses.asdict(cell))])
            for side, cell in cells.items()
        }

    def seconds(self, side: str, rows: int, prompt: int, new: int, samples: int = 1) -> float:
        """Of one generation."""
        asked = {"do": "generate", "rows": rows, "prompt": prompt, "new": new, "samples": samples}
        return float(self.processes[side].ask(json.dumps(asked))["seconds"])

    def close(self) -> None:
        """Let all end."""
        for process in self.processes.values():
            process.close()


def step_rates(sides: Sides, names: list[str], rows: int, arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Tokens a second of every side, once a round."""
    rates = defaultdict(list)
    for turn in range(arguments.rounds + 1):
        for name in names:
            first = sides.seconds(name, rows, PROMPT, 2)
            whole = sides.seconds(name, rows, PROMPT, arguments.tokens)
            if turn:  # the first warms
                rates[name].append(rows * (arguments.tokens - 2) / (whole - first))
    return rates


def measure(shape: str, precision: str, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of the result: every number of rows, and what stands beside."""
    compiled = [int(each) for each in arguments.compiled.split(",") if each]
    usual = ["tezgah", "dynamic", "static"]
    sides = Sides(shape, precision, usual + ["compiled"] * bool(compiled), arguments.threads)
    found: list[dict[str, Any]] = []
    for rows in arguments.rows:
        names = usual[: 3 if rows == 1 else 2] + ["compiled"] * (rows in compiled)
        rates = step_rates(sides, names, rows, arguments)
        asked = json.dumps({"do": "products", "rows": rows})
        products = float(sides.processes["tezgah"].ask(asked)["seconds"])
        found.append({"what": "step", "rows": rows, "rates": rates, "products": products})
        print(shape, precision, rows, {name: round(max(each), 1) for name, each in rates.items()}, flush=True)
    for what, prompt, new, samples in (
        ("first token", FIRST_PROMPT, 1, 1),
        ("samples", PROMPT, arguments.sampled_tokens, arguments.samples),
    ):
        if not samples:
            continue
        seconds: dict[str, list[float]] = defaultdict(list)
        for turn in range(arguments.rounds + 1):
            for name in usual[:2]:
                took = sides.seconds(name, 1, prompt, new, samples)
                if turn:
                    seconds[name].append(took)
        found.append({"what": what, "rows": samples, "seconds": seconds})
    late: dict[str, list[float]] = defaultdict(list)
    for _ in range(arguments.rounds):
        for name, length in (("early", EARLY), ("late", LATE)):
            two, many = (sides.seconds("tezgah", 1, length, new) for new in (2, LATE_STEPS))
            late[name].append((many - two) / (LATE_STEPS - 2))
    found.append({"what": "late", "seconds": late})
    answer = sides.processes["tezgah"].ask(json.dumps({"do": "bandwidth"}))
    found.append({"what": "bandwidth", **answer})
    sides.close()
    return [{"shape": shape, "precision": precision, **row} for row in found]


def step_row(row: dict[str, Any], read: float, sizes: dict[str, float]) -> list[str]:
    """A line of the table of rates."""
    rates = {name: measuring.spread(each) for name, each in row["rates"].items()}
    peers = {name: each for name, each in rates.items() if name != "tezgah"}
    best = max(peers, key=lambda name: peers[name].median)
    ratio = measuring.spread([a / b for a, b in zip(row["rates"]["tezgah"], row["rates"][best], strict=True)])
    ours = rates["tezgah"].median
    share = ours * row["products"] / row["rows"]
    bandwidth = sizes[row["precision"]] * ours / row["rows"] / read
    return [
        row["shape"],
        row["precision"],
        str(row["rows"]),
        rates["tezgah"].text(1),
        f"{peers[best].text(1)}, {best}",
        ratio.text(2),
        f"{100 * share:.0f}",
        f"{100 * bandwidth:.0f}" if row["rows"] == 1 else "–",
    ]


def table(found: list[dict[str, Any]]) -> str:
    """What was measured, in two tables."""
    header = ["shape", "weights", "rows", "tezgah, tokens/s", "transformers' best", "ratio"]
    header += ["% of the products alone", "% of the read bandwidth"]
    steps = []
    for row in found:
        if row["what"] != "step":
            continue
        same = [each for each in found if each["shape"] == row["shape"] and each["precision"] == row["precision"]]
        read = next(each["bytes_per_second"] for each in same if each["what"] == "bandwidth")
        steps.append(step_row(row, read, weight_bytes(row["shape"])))
    beside = []
    for row in found:
        names = {
            "first token": f"first token of {FIRST_PROMPT}",
            "samples": f"{row['rows']} samples of one prompt" if "rows" in row else "",
            "late": f"a token after {EARLY}, and after {LATE}",
        }
        if row["what"] in names:
            pair = ("early", "late") if row["what"] == "late" else ("tezgah", "dynamic")
            ours, theirs = (measuring.spread(row["seconds"][side]) for side in pair)
            cells = [f"{each.median:.4f} ({each.low:.4f}–{each.high:.4f})" for each in (ours, theirs)]
            ratio = f"{theirs.median / ours.median:.2f}"
            beside.append([row["shape"], row["precision"], names[row["what"]], *cells, ratio])
    second = ["shape", "weights", "seconds of", "tezgah (early)", "transformers, dynamic cache (late)", "ratio"]
    return measuring.markdown_table(header, steps) + "\n\n" + measuring.markdown_table(second, beside)


def weight_bytes(shape: str) -> dict[str, float]:
    """Bytes that a step reads of the weights, by precision: all but the embedding of positions, once."""
    sizes = SHAPES[shape]
    width, layers = sizes["width"], sizes["n_layers"]
    inside = 4 * width * 2 if sizes["family"] == "gpt2" else width * 8 // 3 // 64 * 64 * 3
    numbers = layers * (4 * width + inside) * width + sizes["vocab_size"] * width
    return {"fp32": 4.0 * numbers, "bf16": 2.0 * numbers, "int8": 1.0 * numbers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--precisions", default="fp32,bf16,int8")
    parser.add_argument("--rows", type=lambda text: [int(each) for each in text.split(",")], default=[1, 8, 32])
    parser.add_argument("--compiled", default="", help="numbers of rows at which transformers runs compiled, too")
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--samples", type=int, default=200, help="of one prompt at once; 0 leaves them out")
    parser.add_argument("--sampled-tokens", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--name", default="decoding")
    arguments = parser.parse_args()
    begun = measuring.conditions()
    found: list[dict[str, Any]] = []
    for shape in arguments.shapes.split(","):
        for precision in arguments.precisions.split(","):
            found += measure(shape, precision, arguments)
            result = {
                "rows": found,
                "context": CONTEXT,
                "arguments": vars(arguments),
            }  # an hour's work is kept as it grows
            measuring.write_results(measuring.RESULTS, arguments.name, "Decoding", table(found), result, begun)


if __name__ == "__main__":
    main()
