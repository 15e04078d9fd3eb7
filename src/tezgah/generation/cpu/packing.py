"""A model's weights as the compiled step reads them: where they lie, or rounded to 8 bits."""

import os
from typing import Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tezgah.generation.cpu.step import GATE, GELU, GELU_TANH, RELU2, SILU, Floats, Shape, Weights
from tezgah.generation.cpu.vectors import LANES
from tezgah.models.causal import CausalLM
from tezgah.nn.mlp import GatedMLP

ACTIVATIONS = {"swiglu": SILU, "geglu": GELU, "gelu": GELU, "gelu_tanh": GELU_TANH, "relu2": RELU2}


class Packed:
    """Addresses and small arrays of a model that `lay_out` was given; it keeps alive what they point at."""

    def __init__(self, model: CausalLM, int8: bool = False) -> None:
        stack, blocks = model.config.stack, model.stack.blocks
        self.matrices: list[Tensor] = []  # the addresses' owners
        self._int8 = int8
        addresses, scales, biases = zip(*(self._block(block) for block in blocks), strict=True)
        head, head_scales = self._matrix(model.head_weight())
        final = model.stack.norm
        assert final is not None
        norms = [np.stack([_norm(each.attention_norm), _norm(each.mlp_norm)]) for each in blocks]
        norms.append(np.stack([_norm(final), _norm(final)]))
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
            matrices=np.array(addresses, np.int64),
            scales=np.stack(scales),
            biases=np.stack(biases),
            norms=np.stack(norms),
            head_norms=np.stack([_head_norms(block.attention, stack.head_dim) for block in blocks]),
            head=head,
            head_scales=head_scales,
            cosines=_table(model.stack.cos),
            sines=_table(model.stack.sin),
        )

    def _block(self, block: Any) -> tuple[list[int], Floats, Floats]:
        """The addresses of a block's matrices, and the scales and biases of all their outputs."""
        attention, mlp = block.attention, block.mlp
        inside = [mlp.up, mlp.gate] if isinstance(mlp, GatedMLP) else [mlp.up]
        layers = [attention.query, attention.key, attention.value, attention.output, *inside, mlp.down]
        found = [self._matrix(layer.weight) for layer in layers]
        addresses = [address for address, _ in found]
        if len(inside) == 1:
            addresses.insert(GATE, 0)
        return (
            addresses,
            np.concatenate([scales for _, scales in found]),
            np.concatenate([_bias(each) for each in layers]),
        )

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


def _bias(layer: nn.Linear) -> Floats:
    return np.zeros(layer.out_features, np.float32) if layer.bias is None else _floats(layer.bias)


def _table(table: Tensor | None) -> Floats:
    return np.zeros((0, 0), np.float32) if table is None else _floats(table)


def _floats(tensor: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.detach().float().numpy())
