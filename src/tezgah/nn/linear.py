"""Linear layers: one, or several of the same input as a single product.

The bias is added apart from the product. A compiler folds the addition into what follows, while
the product with a bias first copies the bias over its whole output (75 ms against 67 for six
products of 4,096 × 384 × 1,536 in bf16 on 2 cores).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def linear(x: Tensor, layer: nn.Linear) -> Tensor:
    """What `layer` makes of `x`, (..., inputs) → (..., features)."""
    y = F.linear(x, layer.weight)
    return y if layer.bias is None else y + layer.bias.to(y.dtype)


def joined_linear(x: Tensor, *layers: nn.Linear) -> tuple[Tensor, ...]:
    """What each of `layers` makes of `x`, (..., inputs), computed as one matrix product.

    The weights stay apart, as checkpoints name them and as Muon orthogonalizes them; joining
    them is a copy that a compiler folds into their conversion to bf16. In decoding the copy would
    be most of the work (1.8 to 5 times slower at 12 × 768), so there each is a product of its own.
    """
    if not torch.is_grad_enabled() and not torch.compiler.is_compiling():
        return tuple(linear(x, layer) for layer in layers)
    y = F.linear(x, torch.cat([layer.weight for layer in layers]))  # (..., sum of features)
    biases: list[Tensor] = [layer.bias for layer in layers if layer.bias is not None]
    if biases:
        y = y + torch.cat(biases).to(y.dtype)
    return torch.split(y, [layer.out_features for layer in layers], dim=-1)
