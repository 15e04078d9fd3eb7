"""Where sums and exponentials are done: float32, or float64 in a float64 model."""

import torch
from torch import Tensor


def widened(x: Tensor) -> Tensor:
    """`x` in at least float32."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
