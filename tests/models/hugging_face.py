"""Small models of `transformers` with random weights, one for each way a family may be configured."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

GPT = {"vocab_size": 61, "n_positions": 24, "n_embd": 32, "n_layer": 2, "n_head": 4}
DRY: dict[str, float] = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
ROTARY = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 24,
}
BERT = {
    "vocab_size": 61,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 24,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
MODERN = {
    "vocab_size": 61,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 24,
    "local_attention": 6,  # of texts of 17 tokens; the first layer sees all of them
    **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")),
}
PADDING_ID = 60  # a causal model of theirs finds a text's last token by it
THREE_LABELS = {"num_labels": 3, "pad_token_id": PADDING_ID}


def rope(kind: str, theta: float = 500.0, **numbers: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": theta, **numbers}}


YARN = rope("yarn", factor=4.0, original_max_position_embeddings=8)
LLAMA3 = rope(
    "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16, theta=1e4
)

# name → (model class, configuration class, settings)
MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gpt": ("OpenAIGPTLMHeadModel", "OpenAIGPTConfig", GPT | DRY),
    "gpt, 2 heads, untied": (
        "OpenAIGPTLMHeadModel",
        "OpenAIGPTConfig",
        GPT | DRY | {"n_head": 2, "tie_word_embeddings": False},
    ),
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", GPT | DRY),
    "gpt2, 1 head, untied, exact gelu, eps": (
        "GPT2LMHeadModel",
        "GPT2Config",
        GPT
        | DRY
        | {
            "n_head": 1,
            "tie_word_embeddings": False,
            "activation_function": "gelu",
            "layer_norm_epsilon": 1e-3,
            "n_inner": 40,
        },
    ),
    "gpt2, relu2": ("GPT2LMHeadModel", "GPT2Config", GPT | DRY | {"activation_function": "relu2"}),
    "llama": ("LlamaForCausalLM", "LlamaConfig", ROTARY),
    "llama, every bias, tied": (
        "LlamaForCausalLM",
        "LlamaConfig",
        ROTARY | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True, "num_key_value_heads": 4},
    ),
    "llama, one key head, wide heads, eps": (
        "LlamaForCausalLM",
        "LlamaConfig",
        ROTARY | {"num_key_value_heads": 1, "head_dim": 12, "rms_norm_eps": 1e-3},
    ),
    "llama, linear": ("LlamaForCausalLM", "LlamaConfig", ROTARY | rope("linear", factor=3.0)),
    "llama, dynamic": ("LlamaForCausalLM", "LlamaConfig", ROTARY | rope("dynamic", factor=3.0)),
    "llama, yarn": ("LlamaForCausalLM", "LlamaConfig", ROTARY | YARN),
    "llama, yarn with all its numbers": (
        "LlamaForCausalLM",
        "LlamaConfig",
        ROTARY
        | rope("yarn", factor=2.0, beta_fast=8.0, beta_slow=2.0, mscale=0.7, mscale_all_dim=1.0, truncate=False)
        | {},
    ),
    "llama, 3.1": ("LlamaForCausalLM", "LlamaConfig", ROTARY | LLAMA3),
    "qwen3": ("Qwen3ForCausalLM", "Qwen3Config", ROTARY | {"head_dim": 8}),
    "qwen3, biases, tied, wide heads": (
        "Qwen3ForCausalLM",
        "Qwen3Config",
        ROTARY | {"head_dim": 16, "attention_bias": True, "tie_word_embeddings": True} | rope("default", theta=1e6),
    ),
    "bert": ("BertModel", "BertConfig", BERT),
    "bert, masked": ("BertForMaskedLM", "BertConfig", BERT),
    "bert, masked, untied, tanh gelu, three types": (
        "BertForMaskedLM",
        "BertConfig",
        BERT | {"tie_word_embeddings": False, "hidden_act": "gelu_new", "type_vocab_size": 3, "layer_norm_eps": 1e-5},
    ),
    "gpt, classification": ("OpenAIGPTForSequenceClassification", "OpenAIGPTConfig", GPT | DRY | THREE_LABELS),
    "gpt2, classification": ("GPT2ForSequenceClassification", "GPT2Config", GPT | DRY | THREE_LABELS),
    "llama, classification": ("LlamaForSequenceClassification", "LlamaConfig", ROTARY | THREE_LABELS),
    "qwen3, classification": ("Qwen3ForSequenceClassification", "Qwen3Config", ROTARY | {"head_dim": 8} | THREE_LABELS),
    "bert, classification": ("BertForSequenceClassification", "BertConfig", BERT | {"num_labels": 3}),
    "modernbert": ("ModernBertModel", "ModernBertConfig", MODERN),
    "modernbert, masked": ("ModernBertForMaskedLM", "ModernBertConfig", MODERN),
    "modernbert, masked, untied, every bias, first layer local, thetas": (
        "ModernBertForMaskedLM",
        "ModernBertConfig",
        MODERN
        | dict.fromkeys(("norm_bias", "attention_bias", "mlp_bias", "classifier_bias"), True)
        | {
            "tie_word_embeddings": False,
            "local_attention": 5,
            "layer_types": ["sliding_attention", "full_attention"],
            "norm_eps": 1e-3,
            "rope_parameters": {
                "full_attention": {"rope_type": "default", "rope_theta": 500.0},
                "sliding_attention": {"rope_type": "linear", "rope_theta": 20.0, "factor": 2.0},
            },
        },
    ),
    "modernbert, masked, no bias at all, no local layer": (
        "ModernBertForMaskedLM",
        "ModernBertConfig",
        MODERN | {"decoder_bias": False, "layer_types": ["full_attention"] * 2},
    ),
    "modernbert, classification, first token": (
        "ModernBertForSequenceClassification",
        "ModernBertConfig",
        MODERN | {"num_labels": 3, "classifier_bias": True},
    ),
    "modernbert, classification, mean, all local": (
        "ModernBertForSequenceClassification",
        "ModernBertConfig",
        MODERN | {"num_labels": 3, "classifier_pooling": "mean", "layer_types": ["sliding_attention"] * 2},
    ),
}


def new_model(name: str, seed: int = 1) -> Any:
    """The model of `transformers`, in its explicit way, all parameters random: biases and norms too."""
    model_class, config_class, settings = MODELS[name]
    config = getattr(transformers, config_class)(**settings, attn_implementation="eager")
    torch.manual_seed(seed)
    model = getattr(transformers, model_class)(config).eval()
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            center = 1.0 if parameter.ndim == 1 and "weight" in parameter_name else 0.0
            parameter.normal_(center, 0.3 if parameter.ndim == 1 else 0.15)
        if "cls.predictions.bias" in dict(model.named_parameters()) and not config.tie_word_embeddings:
            model.cls.predictions.bias.zero_()
    return model


def saved(name: str, folder: Path, change: Callable[[Any], None] = lambda model: None) -> Any:
    """The same, written into a folder."""
    model = new_model(name)
    change(model)
    model.save_pretrained(folder)
    return model


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """max |difference| / max |theirs|."""
    ours, theirs = ours.detach(), theirs.detach()
    return float((ours.double() - theirs.double()).abs().max() / theirs.double().abs().max().clamp_min(1e-12))
