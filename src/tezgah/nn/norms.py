"""Normalization of the last dimension, computed in fp32 whatever the precision around it."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tezgah.nn.config import StackConfig
from tezgah.nn.precision import widened


class RMSNorm(nn.Module):
    """Root mean square normalization without a mean (Zhang and Sennrich 2019)."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Normalize `x`, (..., width); returns the same shape in the precision of the weights."""
        x = widened(x)
        x = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.epsilon) * self.weight
        return x.to(self.weight.dtype)


class LayerNorm(nn.Module):
    """Layer normalization with weight and bias (Ba et al. 2016)."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Normalize `x`, (..., width); returns the same shape in the precision of the weights."""
        weight, bias = widened(self.weight), widened(self.bias)
        return F.layer_norm(widened(x), weight.shape, weight, bias, self.epsilon).to(self.weight.dtype)


def build_norm(config: StackConfig) -> RMSNorm | LayerNorm:
    """A norm of a stack's residual stream."""
    kind = RMSNorm if config.norm == "rms" else LayerNorm
    return kind(config.width, config.norm_epsilon)
