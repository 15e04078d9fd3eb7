"""Writing safetensors a tensor at a time: none but the one that is being written need be in memory.

The bytes are those that the safetensors library writes.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from tezgah.files import atomic_file

NAMES = {  # in the order in which the library lays tensors down
    torch.int64: "I64",
    torch.float64: "F64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
}


def write_tensors(
    path: Path, shapes: Mapping[str, Tensor], tensor: Callable[[str], Tensor], metadata: dict[str, str] | None = None
) -> str:
    """Write what `tensor` gives for each name in `shapes`, whose values tell shapes and types. Returns the SHA-256."""
    order = list(NAMES)
    ordered = sorted(shapes, key=lambda name: (order.index(shapes[name].dtype), name))
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    end = 0
    for name in ordered:
        shape, dtype = list(shapes[name].shape), shapes[name].dtype
        begin, end = end, end + math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": NAMES[dtype], "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with atomic_file(path) as file:

        def write(data: bytes | memoryview) -> None:
            file.write(data)
            digest.update(data)

        write(len(text).to_bytes(8, "little") + text)
        for name in ordered:
            held = tensor(name).detach().cpu().contiguous()
            assert held.shape == shapes[name].shape and held.dtype == shapes[name].dtype, name
            write(held.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
