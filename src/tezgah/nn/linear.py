"""Linear layers: one, or several of the same input as a single product.

Compiled, the bias is added apart from the product. The compiler folds the addition into what follows,
while the product with a bias first copies the bias over its whole output (75 ms against 67 for six
products of 4,096 × 384 × 1,536 in bf16 on 2 cores).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ONES = 16  # rows of ones in the product that sums a bias's gradient


def linear(x: Tensor, layer: nn.Linear) -> Tensor:
    """What `layer` makes of `x`, (..., inputs) → (..., features).

    One whose products another library does (`training/float8.py`) does them in training; elsewhere it is plain.
    """
    if type(layer) is not nn.Linear and layer.training:
        return layer(x)  # type: ignore[no-any-return]
    if layer.bias is None or not torch.compiler.is_compiling():
        return F.linear(x, layer.weight, layer.bias)
    return add_bias(F.linear(x, layer.weight), layer.bias)


def joined_linear(x: Tensor, *layers: nn.Linear) -> tuple[Tensor, ...]:
    """What each of `layers` makes of `x`, (..., inputs), computed as one matrix product.

    The weights stay apart, as checkpoints name them and as Muon orthogonalizes them; joining
    them is a copy that a compiler folds into their conversion to bf16. Elsewhere it would cost something,
    and in decoding be most of the work (1.8 to 5 times slower at 12 × 768): there each is a product of its own.
    """
    if not torch.compiler.is_compiling() or any(type(layer) is not nn.Linear for layer in layers):
        return tuple(linear(x, layer) for layer in layers)
    y = F.linear(x, torch.cat([layer.weight for layer in layers]))  # (..., sum of features)
    biases: list[Tensor] = [layer.bias for layer in layers if layer.bias is not None]
    if biases:
        y = add_bias(y, torch.cat(biases))
    return torch.split(y, [layer.out_features for layer in layers], dim=-1)


def add_bias(y: Tensor, bias: Tensor) -> Tensor:
    """`y`, (..., features), plus `bias`, (features,), in the precision of `y`."""
    if not torch.is_grad_enabled():
        return y + bias.to(y.dtype)
    return _BiasAdd.apply(y, bias)  # type: ignore[no-any-return, no-untyped-call]


class _BiasAdd(torch.autograd.Function):
    """The bias's gradient as a product with ones.

    As a sum it would be fused with what makes its input, which is then made a second time, column by
    column. With a single row of ones the compiler turns the product back into that sum.
    """

    @staticmethod
    def forward(ctx, y, bias):  # type: ignore[no-untyped-def]
        return y + bias.to(y.dtype)

    @staticmethod
    def backward(ctx, upstream):  # type: ignore[no-untyped-def]
        rows = upstream.flatten(0, -2)  # (rows, features)
        return upstream, (rows.new_ones(ONES, len(rows)) @ rows)[0]
