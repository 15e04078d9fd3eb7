"""One side of `decoding.py`: a model of random weights that generates when it is asked to.

It is a process of its own, so that no thread of the one waits for, or warms, the other's.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import companion
import torch

SHAPES: dict[str, dict[str, Any]] = {
    "gpt2-124m": {"family": "gpt2", "n_layers": 12, "width": 768, "n_heads": 12, "vocab_size": 50_257},
    "qwen3-20m": {"family": "qwen3", "n_layers": 8, "width": 384, "n_heads": 6, "vocab_size": 8_192},
}
CONTEXT = 1_024
SEED = 3


@dataclass(frozen=True)
class Cell:
    """What is measured: a side ("tezgah", or a cache of transformers') with weights of a shape in a precision."""

    side: str
    shape: str
    precision: str
    threads: int = 0  # 0 leaves them to torch

    @property
    def dtype(self) -> torch.dtype:
        """Of the parameters; int8 rounds those of float32."""
        return torch.bfloat16 if self.precision == "bf16" else torch.float32


def peer_model(cell: Cell) -> Any:
    """The model of transformers."""
    import transformers

    shape = SHAPES[cell.shape]
    torch.manual_seed(SEED)
    model: Any
    if shape["family"] == "gpt2":
        model = transformers.GPT2LMHeadModel(
            transformers.GPT2Config(
                n_layer=shape["n_layers"], n_embd=shape["width"], n_head=shape["n_heads"], n_positions=CONTEXT
            )
        )
    else:
        model = transformers.Qwen3ForCausalLM(
            transformers.Qwen3Config(
                vocab_size=shape["vocab_size"],
                hidden_size=shape["width"],
                intermediate_size=shape["width"] * 8 // 3 // 64 * 64,
                num_hidden_layers=shape["n_layers"],
                num_attention_heads=shape["n_heads"],
                num_key_value_heads=shape["n_heads"],
                head_dim=shape["width"] // shape["n_heads"],
                max_position_embeddings=CONTEXT,
            )
        )
    return model.to(cell.dtype).eval()


def our_model(cell: Cell) -> Any:
    """The same weights as ours."""
    from tempfile import TemporaryDirectory

    import tezgah

    with TemporaryDirectory() as folder:
        peer_model(cell).save_pretrained(folder)
        model, _ = tezgah.load(folder, dtype="bfloat16" if cell.precision == "bf16" else "float32")
    return model.eval()


def prompts_of(cell: Cell, rows: int, length: int) -> list[list[int]]:
    """As many different prompts of ids that both know."""
    random = torch.Generator().manual_seed(SEED)
    return torch.randint(10, SHAPES[cell.shape]["vocab_size"], (rows, length), generator=random).tolist()


def ours(cell: Cell, model: Any) -> Callable[[list[list[int]], int, int], Any]:
    """Greedy completions of prompts, or so many samples of one."""
    from tezgah.generation.decode import decode
    from tezgah.generation.rows import Decoding, Wanted
    from tezgah.generation.sampling import Sampling
    from tezgah.nn.modes import evaluating

    def generate(prompts: list[list[int]], new: int, samples: int) -> list[list[int]]:
        sampling = Sampling(temperature=1.0 if samples > 1 else 0.0)
        decoding = Decoding(sampling, most_rows=len(prompts) * samples, int8=cell.precision == "int8")
        wanted = [Wanted(tuple(prompt), new, row) for prompt in prompts for row in range(samples)]
        with evaluating(model):
            ended = [row for row in decode(model, wanted, decoding) if row.reason]
        return [row.new_ids for row in sorted(ended, key=lambda row: row.place)]

    return generate


def theirs(cell: Cell, model: Any) -> Callable[[list[list[int]], int, int], Any]:
    """The same by `transformers.generate`, with the cache that the side names."""
    if cell.precision == "int8":
        from torchao.quantization import Int8WeightOnlyConfig, quantize_

        quantize_(model, Int8WeightOnlyConfig())
    if cell.side == "compiled":
        model.forward = torch.compile(model.forward)
    told: dict[str, Any] = {} if cell.side == "dynamic" else {"cache_implementation": "static"}

    def generate(prompts: list[list[int]], new: int, samples: int) -> Any:
        ids = torch.tensor(prompts)
        with torch.no_grad():
            return model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=new,
                min_new_tokens=new,
                do_sample=samples > 1,
                num_return_sequences=samples,
                top_k=0,
                eos_token_id=None,
                pad_token_id=0,
                **told,
            )

    return generate


def products(cell: Cell, model: Any, rows: int) -> float:
    """Seconds of the matrix products of one step alone, by the fastest kernel here; ours and torch's are tried."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from tezgah.generation.cpu.packing import Packed
    from tezgah.generation.cpu.products import TILE, product, share_of

    packed, threads = Packed(model, cell.precision == "int8"), torch.get_num_threads()
    held = packed.matrices
    longest = max(max(each.shape) for each in held)
    x, out = np.ones((rows, longest), np.float32), np.empty((rows, longest), np.float32)
    wide = np.empty((threads, TILE * longest), np.float32)

    def arguments(thread: int, matrix: torch.Tensor) -> tuple[Any, ...]:
        length, share = matrix.shape[1], share_of(len(matrix), thread, threads)
        inputs, outputs = (x.ctypes.data, 4 * length), (out.ctypes.data, 4 * longest)
        return packed.kind, matrix.data_ptr(), length, *inputs, rows, *outputs, *share, wide[thread].ctypes.data

    told = [[arguments(thread, matrix) for matrix in held] for thread in range(threads)]

    def share(thread: int) -> None:
        for each in told[thread]:
            product(*each)

    pool = ThreadPoolExecutor(threads)

    def by_ours() -> None:
        list(pool.map(share, range(threads)))

    inputs = {size: torch.ones(rows, size, dtype=cell.dtype) for size in {each.shape[1] for each in held}}

    def by_torch() -> None:
        for matrix in held:
            torch.nn.functional.linear(inputs[matrix.shape[1]], matrix)

    halves = torch.ones(rows, longest, dtype=torch.bfloat16)
    factors = torch.ones(longest, dtype=torch.bfloat16)

    def by_torch_int8() -> None:
        for matrix in held:
            torch._weight_int8pack_mm(halves[:, : matrix.shape[1]].contiguous(), matrix, factors[: len(matrix)])

    return min(_fastest(by_ours), _fastest(by_torch_int8 if cell.precision == "int8" else by_torch))


def read_bandwidth() -> float:
    """Bytes a second that all threads read together: the sum of a gigabyte, which no cache holds."""
    numbers = torch.ones(1 << 28)
    return numbers.nbytes / _fastest(numbers.sum)


def _fastest(do: Callable[[], Any], times: int = 12) -> float:
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        do()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def main() -> None:
    answers = companion.answering()
    cell = Cell(**json.loads(sys.argv[1]))
    if cell.threads:
        torch.set_num_threads(cell.threads)
    model = our_model(cell) if cell.side == "tezgah" else peer_model(cell)
    generate = (ours if cell.side == "tezgah" else theirs)(cell, model)
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["do"] == "products":
            answer: dict[str, Any] = {"seconds": products(cell, model, asked["rows"])}
        elif asked["do"] == "bandwidth":
            answer = {"bytes_per_second": read_bandwidth()}
        else:
            prompts = prompts_of(cell, asked["rows"], asked["prompt"])
            begun = time.perf_counter()
            generate(prompts, asked["new"], asked["samples"])
            answer = {"seconds": time.perf_counter() - begun}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
