"""From a recipe's `[model]` table to a configuration, and from a configuration to a fresh model."""

import math
from typing import Any, Literal

import torch

from tezgah.errors import InputError
from tezgah.models import bert, families, modernbert
from tezgah.models.config import CausalConfig, EncoderConfig, ModelConfig
from tezgah.models.cost import count_parameters
from tezgah.models.gpt2 import stack_config as gpt2_stack
from tezgah.models.settings import MLP_WIDTHS, SIZES, ModelSettings, Shape, shape_of
from tezgah.models.sizing import AUTO, DEPTHS, asked_parameters, at_depth
from tezgah.nn.config import Rope, StackConfig
from tezgah.seeds import named_seed


def build_config(settings: ModelSettings, vocab_size: int) -> ModelConfig:
    """The model that `settings` describe, for `vocab_size` ids: a CausalConfig, or of a masked LM an EncoderConfig.

    Raises InputError where the numbers do not fit together.
    """
    shape = shape_of(settings.objective, settings.shape)
    if count := asked_parameters(settings.size):
        return _nearest(settings, vocab_size, count)
    n_layers, width, n_heads = _sizes(settings, shape)
    if settings.context_length is None:
        raise InputError("[model] context_length: a new model needs one. Set it to a number of tokens.")
    if shape == "modernbert" or shape == "bert":
        sizes = n_layers, width, n_heads
        return _encoder(settings, shape, vocab_size, settings.context_length, sizes)
    is_rotary = shape in ("qwen3", "llama")
    stack = (_rotary_stack if is_rotary else _learned_stack)(settings, shape, n_layers, width, n_heads)
    return CausalConfig(
        family=shape,
        vocab_size=vocab_size,
        context_length=settings.context_length,
        stack=stack,
        tied=not is_rotary if settings.tied is None else settings.tied,
        learned_positions=not is_rotary,
        embedding_dropout=settings.dropout,
    )


def _nearest(settings: ModelSettings, vocab_size: int, count: int) -> ModelConfig:
    """The rung of the ladder whose parameters, embeddings included, are nearest to `count` in ratio."""
    rungs = (build_config(at_depth(settings, depth), vocab_size) for depth in DEPTHS)
    config = min(rungs, key=lambda rung: abs(math.log(count_parameters(rung) / count)))
    found = count_parameters(config)
    if not 1 / 2 <= found / count <= 2:
        raise InputError(
            f'[model] size "{settings.size}": with {vocab_size:,} ids the nearest model has {found:,} parameters. '
            "Choose a size near that, or another vocab_size."
        )
    return config


def _encoder(
    settings: ModelSettings,
    shape: Literal["modernbert", "bert"],
    vocab_size: int,
    context_length: int,
    sizes: tuple[int, int, int],
) -> EncoderConfig:
    """BERT or ModernBERT with a masked-LM head, as a `config.json` of these numbers would have it."""
    n_layers, width, n_heads = sizes
    _refuse(settings, shape, ("n_kv_heads", "head_dim"))
    _check_heads(width, n_heads)
    if not settings.qkv_bias:
        raise InputError(f"[model] qkv_bias: the {shape} shape has no such choice. Leave it out.")
    tied, dropout = settings.tied is not False, settings.dropout
    if shape == "bert":
        named = bert.BertFields(
            vocab_size=vocab_size,
            hidden_size=width,
            num_hidden_layers=n_layers,
            num_attention_heads=n_heads,
            intermediate_size=settings.mlp_width or 4 * width,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            max_position_embeddings=context_length,
            tie_word_embeddings=tied,
        )
        return bert.config_of(named, "BertForMaskedLM", ())
    if width // n_heads % 2:
        raise InputError(
            f"[model] width {width} / n_heads {n_heads} is odd; rotary positions turn pairs. Change one of them."
        )
    usual = MLP_WIDTHS.get((shape, settings.size, width), -(-3 * width // 2 // 32) * 32)
    fields = modernbert.ModernBertFields(
        vocab_size=vocab_size,
        hidden_size=width,
        num_hidden_layers=n_layers,
        num_attention_heads=n_heads,
        intermediate_size=settings.mlp_width or usual,
        attention_dropout=dropout,
        mlp_dropout=dropout,
        embedding_dropout=dropout,
        classifier_dropout=dropout,
        classifier_pooling="mean",  # masked tokens alone teach no first token to stand for a text
        max_position_embeddings=context_length,
        global_rope_theta=float(settings.rope_theta),
        tie_word_embeddings=tied,
    )
    return modernbert.config_of(fields, "ModernBertForMaskedLM")


def _check_heads(width: int, n_heads: int) -> None:
    if width % n_heads:
        raise InputError(f"[model] width {width} is not a multiple of n_heads {n_heads}. Change one of them.")


def _learned_stack(settings: ModelSettings, shape: Shape, n_layers: int, width: int, n_heads: int) -> StackConfig:
    """The stack of GPT and GPT-2."""
    _refuse(settings, shape, ("n_kv_heads", "head_dim"))
    _check_heads(width, n_heads)
    if shape == "openai-gpt":
        _refuse(settings, shape, ("mlp_width",))
    return gpt2_stack(
        n_layers,
        width,
        n_heads,
        settings.mlp_width or 4 * width,
        qkv_bias=settings.qkv_bias,
        dropout=settings.dropout,
        attention_dropout=settings.dropout,
        norm_first=shape == "gpt2",
    )


def _rotary_stack(settings: ModelSettings, shape: Shape, n_layers: int, width: int, n_heads: int) -> StackConfig:
    """The stack of Llama and Qwen3."""
    if settings.dropout:
        raise InputError(f'[model] dropout: the {shape} shape has none. Set it to 0, or choose shape = "gpt2".')
    n_kv_heads = settings.n_kv_heads or n_heads
    if n_heads % n_kv_heads:
        raise InputError(
            f"[model] n_kv_heads {n_kv_heads} does not divide n_heads {n_heads}. Choose a divisor of {n_heads}."
        )
    head_dim = settings.head_dim or max(2, width // n_heads // 2 * 2)
    if head_dim % 2:
        raise InputError(f"[model] head_dim {head_dim} is odd; rotary positions turn pairs. Choose an even number.")
    return StackConfig(
        n_layers=n_layers,
        width=width,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        head_dim=head_dim,
        mlp_width=settings.mlp_width or -(-8 * width // 3 // 32) * 32,
        norm="rms",
        norm_epsilon=1e-6,
        mlp="swiglu",
        rope=Rope(float(settings.rope_theta)),
        qk_norm=shape == "qwen3",
        qkv_bias=False,
        output_bias=False,
        mlp_bias=False,
    )


def build_model(config: ModelConfig, seed: int) -> Any:
    """A model with its family's first weights, a function of `seed` alone: a CausalLM, or an Encoder."""
    family = families.FAMILIES[config.family]
    model = family.build(config)
    generator = torch.Generator().manual_seed(named_seed(seed, "weights"))
    family.initialize(model, config, generator)
    return model


def _sizes(settings: ModelSettings, shape: Shape) -> tuple[int, int, int]:
    named = SIZES[shape]
    if settings.size == AUTO:
        raise InputError('[model] size "auto" is chosen by `tezgah run`, from its budget. Give a size here.')
    if settings.size and settings.size not in named:
        raise InputError(
            f'[model] size "{settings.size}" is not one of {", ".join(named)} of shape {shape}, '
            'nor "auto" or a number of parameters such as "8M".'
        )
    layers, width, heads = named.get(settings.size, (None, None, None))
    n_layers, width = settings.n_layers or layers, settings.width or width
    if n_layers is None or width is None:
        raise InputError(f"[model] needs a size ({', '.join(named)}), or n_layers and width.")
    if settings.width is not None and settings.width != (named.get(settings.size) or (0, 0, 0))[1]:
        heads = None  # the name's number of heads belongs to the name's width
    return n_layers, width, settings.n_heads or heads or max(1, width // 64)


def _refuse(settings: ModelSettings, shape: str, fields: tuple[str, ...]) -> None:
    for field in fields:
        if getattr(settings, field) is not None:
            raise InputError(f"[model] {field}: the {shape} shape has no such number. Remove it.")
