"""ModernBERT (Warner et al. 2024): its configuration, and its names on disk, with any of its heads or none.

Query, key and value are one tensor on disk, and so are the MLP's gate and what it multiplies.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta

from tezgah.models.config import EncoderConfig, Head
from tezgah.models.encoder import Encoder
from tezgah.models.family import LARGEST, Epsilon, Family, Fields, Layers, Probability, Size, initialize_quiet
from tezgah.models.mapping import Entry, Joined, Plain
from tezgah.models.rope import rope_fields, rope_of
from tezgah.nn.config import Local, Rope, StackConfig

HEADS: dict[str, Head] = {
    "ModernBertForMaskedLM": "masked_lm",
    "ModernBertModel": "none",
    "ModernBertForSequenceClassification": "classification",
}
Attention = Literal["full_attention", "sliding_attention"]
FULL: Attention = "full_attention"
SLIDING: Attention = "sliding_attention"
POOLINGS: dict[str, Literal["first", "mean"]] = {"cls": "first", "mean": "mean"}


class ModernBertFields(Fields, frozen=True, kw_only=True):
    """ModernBERT's `config.json`.

    `local_attention` is the whole window, a query in its middle. Older files have `global_attn_every_n_layers` and a
    theta each in place of `layer_types` and `rope_parameters`.
    """

    vocab_size: Size = 50_368
    hidden_size: Size = 768
    num_hidden_layers: Layers = 22
    num_attention_heads: Size = 12
    intermediate_size: Size = 1_152
    hidden_activation: Literal["gelu"] = "gelu"
    max_position_embeddings: Size = 8_192
    norm_eps: Epsilon = 1e-5
    norm_bias: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    decoder_bias: bool = True
    classifier_bias: bool = False
    classifier_activation: Literal["gelu"] = "gelu"
    classifier_pooling: Literal["cls", "mean"] = "cls"
    attention_dropout: Probability = 0.0
    mlp_dropout: Probability = 0.0
    embedding_dropout: Probability = 0.0
    classifier_dropout: Probability = 0.0
    layer_types: list[Attention] | None = None
    global_attn_every_n_layers: Size | None = None
    local_attention: Annotated[int, Meta(ge=0, le=LARGEST)] = 128
    rope_parameters: dict[str, dict[str, Any] | None] | None = None
    rope_scaling: dict[str, Any] | None = None
    global_rope_theta: float = 160_000.0
    local_rope_theta: float | None = 10_000.0
    tie_word_embeddings: bool = True


def config_of(fields: ModernBertFields, architecture: str, tensors: Sequence[str] = ()) -> EncoderConfig:
    """The configuration that a `config.json` states."""
    head_dim, rest = divmod(fields.hidden_size, fields.num_attention_heads)
    if rest or head_dim % 2:
        raise ValueError(f"hidden_size {fields.hidden_size} over num_attention_heads {fields.num_attention_heads}")
    stack = StackConfig(
        n_layers=fields.num_hidden_layers,
        width=fields.hidden_size,
        n_heads=fields.num_attention_heads,
        n_kv_heads=fields.num_attention_heads,
        head_dim=head_dim,
        mlp_width=fields.intermediate_size,
        norm="layer",
        norm_epsilon=fields.norm_eps,
        mlp="geglu",
        rope=_rope(fields, FULL, fields.global_rope_theta),
        qkv_bias=fields.attention_bias,
        output_bias=fields.attention_bias,
        mlp_bias=fields.mlp_bias,
        dropout=fields.attention_dropout,  # the stock class has it on what attention adds too
        attention_dropout=fields.attention_dropout,
        causal=False,
        norm_bias=fields.norm_bias,
        first_norm=False,  # the embedding's norm stands right before it
        local=_local(fields),
        mlp_dropout=fields.mlp_dropout,
    )
    return EncoderConfig(
        family="modernbert",
        vocab_size=fields.vocab_size,
        context_length=fields.max_position_embeddings,
        stack=stack,
        n_token_types=0,
        head=HEADS[architecture],
        tied=fields.tie_word_embeddings,
        embedding_dropout=fields.embedding_dropout,
        head_dropout=fields.classifier_dropout,
        learned_positions=False,
        pooling=POOLINGS[fields.classifier_pooling],
        head_bias=fields.classifier_bias,
        scores_bias=fields.decoder_bias,
    )


def _local(fields: ModernBertFields) -> Local | None:
    """The layers with a window; None where every layer sees all."""
    kinds = fields.layer_types
    if kinds is None:
        every = fields.global_attn_every_n_layers or 3
        kinds = [SLIDING if layer % every else FULL for layer in range(fields.num_hidden_layers)]
    if len(kinds) != fields.num_hidden_layers:
        raise ValueError(f"layer_types of {len(kinds)} layers with num_hidden_layers {fields.num_hidden_layers}")
    layers = tuple(layer for layer, kind in enumerate(kinds) if kind == SLIDING)
    theta = fields.global_rope_theta if fields.local_rope_theta is None else fields.local_rope_theta
    return Local(layers, fields.local_attention // 2, _rope(fields, SLIDING, theta)) if layers else None


def _rope(fields: ModernBertFields, kind: str, theta: float) -> Rope:
    stated = {
        "rope_parameters": (fields.rope_parameters or {}).get(kind),
        "rope_scaling": fields.rope_scaling,
        "rope_theta": theta,
    }
    return rope_of(stated, fields.max_position_embeddings)


def fields_of(config: EncoderConfig) -> ModernBertFields:
    """What `config.json` says of a configuration."""
    stack, local = config.stack, config.stack.local
    assert stack.rope is not None
    layers = () if local is None else local.layers
    ropes: dict[str, dict[str, Any] | None] = {FULL: rope_fields(stack.rope)}
    if local is not None:
        ropes[SLIDING] = rope_fields(local.rope)
    return ModernBertFields(
        vocab_size=config.vocab_size,
        hidden_size=stack.width,
        num_hidden_layers=stack.n_layers,
        num_attention_heads=stack.n_heads,
        intermediate_size=stack.mlp_width,
        max_position_embeddings=config.context_length,
        norm_eps=stack.norm_epsilon,
        norm_bias=stack.norm_bias,
        attention_bias=stack.qkv_bias,
        mlp_bias=stack.mlp_bias,
        decoder_bias=config.scores_bias,
        classifier_bias=config.head_bias,
        classifier_pooling="mean" if config.pooling == "mean" else "cls",
        attention_dropout=stack.attention_dropout,
        mlp_dropout=stack.mlp_dropout or 0.0,
        embedding_dropout=config.embedding_dropout,
        classifier_dropout=config.head_dropout,
        layer_types=[SLIDING if layer in layers else FULL for layer in range(stack.n_layers)],
        local_attention=128 if local is None else 2 * local.reach,
        rope_parameters=ropes,
        global_rope_theta=stack.rope.theta,
        local_rope_theta=local.rope.theta if local else None,
        tie_word_embeddings=config.tied,
    )


def architecture_of(config: EncoderConfig) -> str:
    """The stock class of a configuration."""
    return next(name for name, head in HEADS.items() if head == config.head)


def key_map(config: EncoderConfig) -> list[Entry]:
    """Every tensor on disk and the parameter or parameters it holds."""
    stack = config.stack
    norm = ("weight", "bias") if stack.norm_bias else ("weight",)
    entries: list[Entry] = [
        Plain("model.embeddings.tok_embeddings.weight", "embedding.weight"),
        *_plain("model.embeddings.norm", "embedding_norm", norm),
        *_plain("model.final_norm", "stack.norm", norm),
    ]
    for layer in range(stack.n_layers):
        entries += _block(f"model.layers.{layer}", f"stack.blocks.{layer}", stack, norm, layer > 0)
    if config.head == "none":
        return entries
    ours = "masked_head" if config.head == "masked_lm" else "pooler"
    entries += _plain("head.dense", f"{ours}.layer", _parts(config.head_bias)) + _plain(
        "head.norm", f"{ours}.norm", norm
    )
    if config.head == "classification":
        return entries + _plain("classifier", "classifier", ("weight", "bias"))
    if config.scores_bias:
        entries.append(Plain("decoder.bias", "masked_head.bias"))
    return entries if config.tied else [*entries, Plain("decoder.weight", "masked_head.scores.weight")]


def _block(theirs: str, ours: str, stack: StackConfig, norm: tuple[str, ...], has_norm: bool) -> list[Entry]:
    entries = _plain(f"{theirs}.attn_norm", f"{ours}.attention_norm", norm if has_norm else ())
    entries += _plain(f"{theirs}.mlp_norm", f"{ours}.mlp_norm", norm)
    entries += _plain(f"{theirs}.attn.Wo", f"{ours}.attention.output", _parts(stack.output_bias))
    entries += _plain(f"{theirs}.mlp.Wo", f"{ours}.mlp.down", _parts(stack.mlp_bias))
    for name, room, modules, has_bias in (
        ("attn.Wqkv", "attention", ("query", "key", "value"), stack.qkv_bias),
        ("mlp.Wi", "mlp", ("gate", "up"), stack.mlp_bias),
    ):
        for part in _parts(has_bias):
            held = tuple(f"{ours}.{room}.{module}.{part}" for module in modules)
            entries.append(Joined(f"{theirs}.{name}.{part}", held, False))
    return entries


def _plain(theirs: str, ours: str, parts: tuple[str, ...]) -> list[Entry]:
    return [Plain(f"{theirs}.{part}", f"{ours}.{part}") for part in parts]


def _parts(has_bias: bool) -> tuple[str, ...]:
    return ("weight", "bias") if has_bias else ("weight",)


FAMILY = Family(
    model_type="modernbert",
    architectures=tuple(HEADS),
    fields=ModernBertFields,
    computed={},
    prefix="model.",
    headless="ModernBertModel",
    surplus=(r"decoder\.weight",),
    build=Encoder,
    initialize=initialize_quiet,
    config_of=config_of,
    fields_of=fields_of,
    architecture_of=architecture_of,
    key_map=key_map,
    unset=("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"),
)
