"""What a configuration costs, without building the model: parameters, FLOPs, memory."""

from dataclasses import dataclass

from tezgah.models.config import CausalConfig, EncoderConfig, ModelConfig


def count_parameters(config: ModelConfig) -> int:
    """Trained parameters in all; a tied matrix counts once.

    >>> from tezgah.models.build import build_config
    >>> from tezgah.models.settings import ModelSettings
    >>> count_parameters(build_config(ModelSettings(shape="gpt2", size="small", context_length=1_024), 50_257))
    124439808
    """
    return embedding_parameters(config) + _stack_parameters(config) + _head_parameters(config)


def embedding_parameters(config: ModelConfig) -> int:
    """Parameters on the way in: token, position and token-type embeddings, and their norm."""
    if isinstance(config, EncoderConfig):
        rows = config.vocab_size + config.n_token_types + (config.context_length if config.learned_positions else 0)
        return rows * config.width + _norm_parameters(config)
    positions = config.context_length * config.width if config.learned_positions else 0
    return config.vocab_size * config.width + positions


def _head_parameters(config: ModelConfig) -> int:
    """Parameters of the head alone."""
    width, scores = config.width, config.vocab_size * config.width
    if isinstance(config, CausalConfig):
        return 0 if config.tied else scores
    transform = width * width + (width if config.head_bias else 0) + _norm_parameters(config)
    if config.head == "masked_lm":
        return transform + (config.vocab_size if config.scores_bias else 0) + (0 if config.tied else scores)
    pooler = width * width + width if config.pooling == "tanh" else transform
    labels = len(config.labels) * (width + 1) if config.head == "classification" else 0
    return 0 if config.head == "none" else pooler + labels


def forward_flops_per_token(config: ModelConfig, context_length: int | None = None) -> int:
    """Floating-point operations of reading one token in a text of `context_length`, the model's own where not given.

    2 × the parameters that multiply (the matrix that scores ids, tied or not, included), plus attention's
    two products: 4 × layers × context × heads × head_dim, and half of that where attention is causal
    and needs half of them (PaLM, Chowdhery et al. 2022, appendix B). A local layer counts its window for the context.
    A masked-LM head is counted at every position, as in use; training computes it at the masked ones alone. A pooler
    and a classification see one vector of a text, and are not counted.
    """
    stack, context = config.stack, context_length or config.context_length
    keys = config.n_layers * context  # that a token meets in all layers
    if stack.local is not None:
        near = min(context, 2 * stack.local.reach + 1)
        keys -= len(stack.local.layers) * (context - near)
    attention = keys * stack.n_heads * stack.head_dim
    return 2 * (_stack_parameters(config) + _scoring_parameters(config) + (1 if stack.causal else 2) * attention)


def flops_per_token(config: ModelConfig, context_length: int | None = None) -> int:
    """Floating-point operations of training on one token: forward, and twice that backward; nothing recomputed."""
    return 3 * forward_flops_per_token(config, context_length)


@dataclass(frozen=True)
class TrainingMemory:
    """What a training step holds, in bytes; `copies` are the weights in 16 bits beside those in fp32."""

    weights: int
    copies: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.copies + self.gradients + self.optimizer + self.activations


def training_memory(
    config: ModelConfig,
    sequences: int,
    muon: bool,
    low_precision: bool,
    holds_attention: bool,
    context_length: int | None = None,
    recomputed: bool = False,
    sharded: int = 1,
) -> TrainingMemory:
    """An estimate of the memory a step needs with `sequences` of `context_length` tokens in one pass.

    Weights, gradients and optimizer state in fp32; activations kept for the backward pass; the
    weights' copies in 16 bits. `holds_attention` says whether the (time, time) attention weights are
    among the activations; no fused kernel keeps them. Muon has one number of state a weight of the stack, AdamW two.
    Of `recomputed` blocks only what enters each is kept, and the inside of one. With the model `sharded` over so many
    processes one holds its part, and the copies are what is gathered for a while: two blocks, embedding and head, with
    their gradients.
    """
    stack, context, item = config.stack, context_length or config.context_length, 2 if low_precision else 4
    parameters = count_parameters(config)
    heads = stack.n_heads * stack.head_dim
    keys = stack.n_kv_heads * stack.head_dim
    per_token = 16 * stack.width + item * (3 * heads + 4 * keys + 4 * stack.mlp_width)
    inside = per_token + (stack.n_heads * context * (item + 4) if holds_attention else 0)  # of a block, bytes a token
    kept = config.n_layers * 4 * stack.width + inside if recomputed else config.n_layers * inside
    in_stack = _stack_parameters(config)
    copies = item * parameters if low_precision else 0
    if sharded > 1:
        copies = 8 * (parameters - in_stack + 2 * in_stack // config.n_layers)
    return TrainingMemory(
        weights=4 * parameters // sharded,
        copies=copies,
        gradients=4 * parameters // sharded,
        optimizer=4 * (2 * parameters - (in_stack if muon else 0)) // sharded,
        activations=sequences * context * kept,
    )


def training_bytes(
    config: ModelConfig,
    sequences: int,
    muon: bool,
    low_precision: bool,
    holds_attention: bool,
    recomputed: bool = False,
    sharded: int = 1,
) -> int:
    """The whole of `training_memory`, in bytes."""
    how = muon, low_precision, holds_attention
    return training_memory(config, sequences, *how, recomputed=recomputed, sharded=sharded).total


def scaling_parameters(config: ModelConfig) -> int:
    """What tokens are counted against when a size is chosen: parameters of the stack and of the scoring matrix.

    nanochat's count (Karpathy 2025, `base_train.py`: transformer matrices + lm_head); a lookup learns too little per
    token to be among them.

    >>> from tezgah.models.build import build_config
    >>> from tezgah.models.settings import ModelSettings
    >>> scaling_parameters(build_config(ModelSettings(size="small"), 32_768)) / 1e6  # nanochat's d12: 110
    110.1...
    """
    return _stack_parameters(config) + _scoring_parameters(config)


def cache_bytes(config: ModelConfig, context_length: int, item_bytes: int) -> int:
    """Keys and values of a text of `context_length` tokens in all layers, in bytes."""
    return 2 * config.n_layers * context_length * config.stack.n_kv_heads * config.stack.head_dim * item_bytes


def _scoring_parameters(config: ModelConfig) -> int:
    """Parameters that multiply at every position after the stack: the matrix that scores ids, and a layer before it."""
    scores = config.vocab_size * config.width
    if isinstance(config, CausalConfig):
        return scores
    return config.width * config.width + scores if config.head == "masked_lm" else 0


def _norm_parameters(config: ModelConfig) -> int:
    return config.width * (2 if config.stack.norm == "layer" and config.stack.norm_bias else 1)


def _stack_parameters(config: ModelConfig) -> int:
    stack = config.stack
    queries, keys = stack.n_heads * stack.head_dim, stack.n_kv_heads * stack.head_dim
    attention = stack.width * (2 * queries + 2 * keys)
    mlp = (3 if stack.gated else 2) * stack.width * stack.mlp_width
    norm = _norm_parameters(config)
    small = 2 * norm + (2 * stack.head_dim if stack.qk_norm else 0)
    small += queries + 2 * keys if stack.qkv_bias else 0
    small += stack.width if stack.output_bias else 0
    if stack.mlp_bias:
        small += stack.width + stack.mlp_width * (2 if stack.gated else 1)
    outside = (norm if stack.norm_first else 0) - (0 if stack.first_norm else norm)
    return config.n_layers * (attention + mlp + small) + outside
