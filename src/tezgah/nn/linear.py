"""Several linear layers of one input as a single product."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def joined_linear(x: Tensor, *layers: nn.Linear) -> tuple[Tensor, ...]:
    """What each of `layers` makes of `x`, (..., width), computed as one matrix product.

    The weights stay apart, as checkpoints name them and as Muon orthogonalizes them; joining
    them is a copy that a compiler folds into their conversion to bf16.
    """
    weight = torch.cat([layer.weight for layer in layers])  # (sum of features, width)
    biases = [layer.bias for layer in layers if layer.bias is not None]
    y = F.linear(x, weight, torch.cat(biases) if biases else None)
    return y.split([layer.out_features for layer in layers], dim=-1)
