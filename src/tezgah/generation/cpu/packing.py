"""A model's weights as the compiled step reads them: where they lie, or rounded to 8 bits."""

import os
from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tezgah.generation.cpu.arrays import GATE, GELU, GELU_TANH, RELU2, SILU, Floats, Shape, Weights
from tezgah.generation.cpu.vectors import LANES
from tezgah.models.causal import CausalLM
from tezgah.nn.mlp import GatedMLP

_Held = tuple[NDArray[np.int64], Floats, Floats]  # addresses, scales, biases
ACTIVATIONS = {"swiglu": SILU, "geglu": GELU, "gelu": GELU, "gelu_tanh": GELU_TANH, "relu2": RELU2}


class Packed:
    """Addresses and small arrays of a model that `lay_out` was given; it keeps alive what they point at."""

    def __init__(self, model: CausalLM, int8: bool = False) -> None:
        stack, blocks = model.config.stack, model.stack.blocks
        self.matrices: list[Tensor] = []  # the addresses' owners
        self._int8 = int8
        held = [self._block(block) for block in blocks]
        held.append(self._matrices([model.head_weight()], [None]))
        addresses, scales, biases = zip(*held, strict=True)
        final = model.stack.norm
        assert final is not None
        norms = [_norm(each) for block in blocks for each in (block.attention_norm, block.mlp_norm)]
        self.kind = np.empty(0, _kind(model.head_weight(), int8))
        self.shape = Shape(
            n_layers=stack.n_layers,
            width=stack.width,
            n_heads=stack.n_heads,
            n_kv_heads=stack.n_kv_heads,
            head_dim=stack.head_dim,
            mlp_width=stack.mlp_width,
            vocab_size=model.config.vocab_size,
            is_rms=stack.norm == "rms",
            epsilon=stack.norm_epsilon,
            activation=ACTIVATIONS[stack.mlp],
            is_gated=stack.gated,
            has_qk_norm=stack.qk_norm,
        )
        self.weights = Weights(
            matrices=np.concatenate(addresses),
            scales=np.concatenate(scales),
            biases=np.concatenate(biases) if any(map(np.any, biases)) else np.zeros(0, np.float32),
            norms=np.stack([*norms, _norm(final)]),
            head_norms=np.stack([_head_norms(block.attention, stack.head_dim) for block in blocks]),
            cosines=_table(model.stack.cos),
            sines=_table(model.stack.sin),
        )

    def _block(self, block: Any) -> _Held:
        """What a block has of all its matrices; in the place of a gate's there is an address, even without one."""
        attention, mlp = block.attention, block.mlp
        inside = [mlp.up, mlp.gate] if isinstance(mlp, GatedMLP) else [mlp.up]
        layers = [attention.query, attention.key, attention.value, attention.output, *inside, mlp.down]
        addresses, scales, biases = self._matrices([each.weight for each in layers], [each.bias for each in layers])
        return addresses if len(inside) == 2 else np.insert(addresses, GATE, 0), scales, biases

    def _matrices(self, weights: Sequence[Tensor], biases: Sequence[Tensor | None]) -> _Held:
        """The addresses of matrices, and the scales and biases of all their outputs."""
        addresses, scales = zip(*(self._matrix(weight) for weight in weights), strict=True)
        added = [_bias(weight, bias) for weight, bias in zip(weights, biases, strict=True)]
        return np.array(addresses, np.int64), np.concatenate(scales), np.concatenate(added)

    def _matrix(self, weight: Tensor) -> tuple[int, Floats]:
        """Where a matrix lies, and what its outputs are multiplied by."""
        if not self._int8:
            held = weight.detach()  # the memory, whatever becomes of the parameter
            self.matrices.append(held)
            return held.data_ptr(), np.ones(len(held), np.float32)
        rounded, scales = to_int8(weight)
        self.matrices.append(rounded)
        return rounded.data_ptr(), scales.numpy()


def can_pack(model: Any) -> TypeGuard[CausalLM]:
    """Whether the compiled step knows a model's shape, and its memory."""
    if not isinstance(model, CausalLM):
        return False
    stack, weight = model.config.stack, model.embedding.weight
    sizes = (stack.width, stack.head_dim, stack.mlp_width)
    return (
        weight.device.type == "cpu"
        and weight.dtype in (torch.float32, torch.bfloat16)
        and stack.norm_first
        and stack.first_norm
        and stack.causal
        and not model.config.labels
        and all(size % LANES == 0 for size in sizes)
        and all(type(each) is nn.Linear for each in model.modules() if isinstance(each, nn.Linear))
        and all(type(each) is nn.Parameter for each in model.parameters())  # whole, not of shards
        and all((each.dtype, each.device) == (weight.dtype, weight.device) for each in model.parameters())
        and os.name == "posix"  # which threads give way by
    )


def lay_out(model: CausalLM) -> None:
    """Turn matrices that lie transposed in memory, as those read from GPT-2's folders do: once, in place."""
    for parameter in model.parameters():
        if not parameter.is_contiguous():
            parameter.data = parameter.data.contiguous()


def to_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix, (outputs, inputs), as whole numbers from −127 to 127, and a scale for every output, float32.

    >>> rounded, scales = to_int8(torch.tensor([[0.5, -1.0], [0.0, 0.0]]))
    >>> rounded.tolist(), (rounded * scales[:, None])[0].tolist()
    ([[64, -127], [0, 0]], [0.5039370059967041, -1.0])
    """
    wide = weight.detach().float()
    scales = wide.abs().amax(1) / 127.0
    return (wide / scales.clamp_min(1e-30)[:, None]).round().to(torch.int8).contiguous(), scales


def _kind(weight: Tensor, int8: bool) -> Any:
    if int8:
        return np.int8
    return np.float32 if weight.dtype == torch.float32 else np.uint16


def _norm(norm: Any) -> Floats:
    """A norm's weight and bias, (2, width)."""
    bias = getattr(norm, "bias", None)
    return _floats(
        torch.stack([norm.weight.float(), torch.zeros_like(norm.weight).float() if bias is None else bias.float()])
    )


def _head_norms(attention: Any, head_dim: int) -> Floats:
    if attention.query_norm is None:
        return np.ones((2, head_dim), np.float32)
    return _floats(torch.stack([attention.query_norm.weight, attention.key_norm.weight]))


def _bias(weight: Tensor, bias: Tensor | None) -> Floats:
    return np.zeros(len(weight), np.float32) if bias is None else _floats(bias)


def _table(table: Tensor | None) -> Floats:
    return np.zeros((0, 0), np.float32) if table is None else _floats(table)


def _floats(tensor: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.detach().float().numpy())
