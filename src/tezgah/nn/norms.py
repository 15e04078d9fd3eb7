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
    """Layer normalization with weight, and bias or none (Ba et al. 2016)."""

    def __init__(self, width: int, epsilon: float, has_bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if has_bias else None
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Normalize `x`, (..., width); returns the same shape in the precision of the weights."""
        weight, bias = widened(self.weight), None if self.bias is None else widened(self.bias)
        return F.layer_norm(widened(x), weight.shape, weight, bias, self.epsilon).to(self.weight.dtype)


def build_norm(config: StackConfig) -> RMSNorm | LayerNorm:
    """A norm of a stack's residual stream."""
    if config.norm == "rms":
        return RMSNorm(config.width, config.norm_epsilon)
    return LayerNorm(config.width, config.norm_epsilon, config.norm_bias)
