"""Where sums and exponentials are done: float32, or float64 in a float64 model; and which products are fast."""

import torch
from torch import Tensor


def widened(x: Tensor) -> Tensor:
    """`x` in at least float32."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def multiplies_bf16_faster(kind: str) -> bool:
    """Whether the hardware has bf16 products; stated by it, never timed, so that it cannot vary."""
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if kind == "cpu":
        tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported", "_is_arm_bf16_supported")
        return any(getattr(torch.cpu, test)() for test in tests if hasattr(torch.cpu, test))
    return False
