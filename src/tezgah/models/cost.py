"""What a configuration costs, without building the model: parameters, FLOPs, memory."""

from tezgah.models.config import CausalConfig


def count_parameters(config: CausalConfig) -> int:
    """Trained parameters in all; a tied matrix counts once."""
    head = 0 if config.tied else config.vocab_size * config.width
    return embedding_parameters(config) + _stack_parameters(config) + head


def embedding_parameters(config: CausalConfig) -> int:
    """Parameters that are only looked up on the way in: token and position embeddings."""
    positions = config.context_length * config.width if config.learned_positions else 0
    return config.vocab_size * config.width + positions


def flops_per_token(config: CausalConfig) -> int:
    """Floating-point operations of training on one token, forward and backward, nothing recomputed.

    6 × the parameters that multiply (the head's matrix, tied or not, included), plus attention's
    two products, counted at half because causal attention needs half of them: 6 × layers ×
    context × heads × head_dim (PaLM, Chowdhery et al. 2022, appendix B, halved).
    """
    stack = config.stack
    products = _stack_parameters(config) + config.vocab_size * config.width
    attention = config.n_layers * config.context_length * stack.n_heads * stack.head_dim
    return 6 * (products + attention)


def training_bytes(config: CausalConfig, sequences: int, muon: bool, low_precision: bool, holds_attention: bool) -> int:
    """An estimate of the memory a step needs with `sequences` in one pass, in bytes.

    Weights, gradients and optimizer state in fp32; activations kept for the backward pass; the
    weights' copies in 16 bits. `holds_attention` says whether the (time, time) attention weights are
    among the activations; no fused kernel keeps them.
    """
    stack, tokens, item = config.stack, sequences * config.context_length, 2 if low_precision else 4
    matrices = _stack_parameters(config)
    parameters = count_parameters(config)
    state = 4 * (3 * parameters - (matrices if muon else 0)) + 4 * parameters
    heads = stack.n_heads * stack.head_dim
    keys = stack.n_kv_heads * stack.head_dim
    per_token = 16 * stack.width + item * (3 * heads + 4 * keys + 4 * stack.mlp_width)
    attention = stack.n_heads * config.context_length * (item + 4) if holds_attention else 0
    copies = item * parameters if low_precision else 0
    return state + copies + tokens * config.n_layers * (per_token + attention)


def _stack_parameters(config: CausalConfig) -> int:
    stack = config.stack
    queries, keys = stack.n_heads * stack.head_dim, stack.n_kv_heads * stack.head_dim
    attention = stack.width * (2 * queries + 2 * keys)
    mlp = (3 if stack.mlp == "swiglu" else 2) * stack.width * stack.mlp_width
    norm = stack.width * (2 if stack.norm == "layer" else 1)
    small = 2 * norm + (2 * stack.head_dim if stack.qk_norm else 0)
    small += queries + 2 * keys if stack.qkv_bias else 0
    if stack.linear_bias:
        small += 2 * stack.width + stack.mlp_width * (2 if stack.mlp == "swiglu" else 1)
    return config.n_layers * (attention + mlp + small) + norm
