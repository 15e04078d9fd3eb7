"""A foreign `config.json`: read into what a family knows, and refused by name where it asks for anything else."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tezgah.console import warn
from tezgah.errors import InputError
from tezgah.files import check_format, read_json
from tezgah.models.config import ModelConfig
from tezgah.models.families import FAMILIES
from tezgah.models.family import Family
from tezgah.models.labels import CLASSIFICATION, LABEL_FIELDS, with_labels

FORMAT = 1

# What any `config.json` may say without changing a number that is computed here.
HARMLESS = frozenset(
    [
        "architectures",
        "_attn_implementation_autoset",
        "bad_words_ids",
        "begin_suppress_tokens",
        "bos_token",
        "bos_token_id",
        "chunk_size_feed_forward",
        "cls_token_id",
        "cross_attention_hidden_size",
        "decoder_start_token_id",
        "deterministic_flash_attn",
        "directionality",
        "diversity_penalty",
        "do_sample",
        "dtype",
        "early_stopping",
        "encoder_no_repeat_ngram_size",
        "eos_token",
        "eos_token_id",
        "exponential_decay_length_penalty",
        "finetuning_task",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "gradient_checkpointing",
        "id2label",
        "initializer_cutoff_factor",
        "initializer_range",
        "is_encoder_decoder",
        "label2id",
        "layer_norm_eps",
        "length_penalty",
        "max_length",
        "max_window_layers",
        "min_length",
        "model_type",
        "n_ctx",
        "n_special",
        "_name_or_path",
        "no_repeat_ngram_size",
        "num_beam_groups",
        "num_beams",
        "num_labels",
        "num_return_sequences",
        "nx",
        "output_attentions",
        "output_hidden_states",
        "output_scores",
        "pad_token_id",
        "pooler_fc_size",
        "pooler_num_attention_heads",
        "pooler_num_fc_layers",
        "pooler_size_per_head",
        "pooler_type",
        "position_embedding_type",
        "predict_special_tokens",
        "prefix",
        "pretraining_tp",
        "problem_type",
        "pruned_heads",
        "remove_invalid_values",
        "reference_compile",
        "reorder_and_upcast_attn",
        "repad_logits_with_grad",
        "repetition_penalty",
        "return_dict",
        "return_dict_in_generate",
        "sep_token_id",
        "sliding_window",
        "sparse_pred_ignore_index",
        "sparse_prediction",
        "summary_activation",
        "summary_first_dropout",
        "summary_proj_to_labels",
        "summary_type",
        "summary_use_proj",
        "suppress_tokens",
        "task_specific_params",
        "temperature",
        "tezgah_format",
        "tie_encoder_decoder",
        "tokenizer_class",
        "top_k",
        "top_p",
        "torch_dtype",
        "torchscript",
        "transformers_version",
        "typical_p",
        "use_bfloat16",
        "use_cache",
    ]
)
REFUSED = {
    "auto_map": "names program code of its own, which is never run",
    "quantization_config": "says that the weights are quantized, which are not read",
}


def read_family(path: Path) -> tuple[Family, dict[str, Any]]:
    """The family and the fields of a `config.json`. Raises InputError for one that is not known."""
    fields = read_json(path)
    if not isinstance(fields, dict):
        raise InputError(f"{path}: holds no JSON object. Restore the file.")
    if "tezgah_format" in fields:
        check_format(path, fields["tezgah_format"], FORMAT)
    for name, reason in REFUSED.items():
        if fields.get(name):
            raise InputError(f"{path}: {name} {reason}. Choose a checkpoint without it.")
    family = FAMILIES.get(str(fields.get("model_type", "")))
    if family is None:
        known = ", ".join(FAMILIES)
        raise InputError(f"{path}: model_type {fields.get('model_type')!r} is not one this tezgah reads ({known}).")
    return family, fields


def parse_config(path: Path, family: Family, fields: dict[str, Any], tensors: Sequence[str] = ()) -> ModelConfig:
    """The configuration that the fields state; what is not known is passed over, and said.

    `tensors` are the names in the weight files. Raises InputError for values that are not computed here, or no values.
    """
    for name, values in family.computed.items():
        if fields.get(name, values[0]) not in values:
            raise _not_computed(path, f"{name} = {fields[name]!r}", f" ({name} = {values[0]!r} is)")
    if pruned := fields.get("pruned_heads"):
        raise _not_computed(path, f"pruned_heads = {pruned!r}")
    architecture = _architecture(path, family, fields)
    try:
        known = msgspec.convert(fields, family.fields)
        config: ModelConfig = with_labels(family.config_of(known, architecture, tensors), architecture, fields)
    except msgspec.ValidationError as error:
        raise InputError(
            f"{path}: {_told(error)} for {family.model_type}. Mend the field, or restore the file."
        ) from None
    except KeyError as error:
        raise InputError(f"{path}: the field {error} is missing. Restore the file.") from None
    except TypeError as error:
        raise InputError(f"{path}: the field {error} is no usable number. Mend it, or restore the file.") from None
    except ValueError as error:
        raise _not_computed(path, str(error)) from None
    unknown = [name for name in ignored_fields(family, fields) if name not in HARMLESS]
    if unknown:
        warn(f"{path}: unknown to this tezgah and passed over: {', '.join(unknown)}.")
    return config


def ignored_fields(family: Family, fields: dict[str, Any]) -> tuple[str, ...]:
    """The fields of a `config.json` on which nothing here depends, harmless or unknown, in their order."""
    used = {field.name for field in msgspec.structs.fields(family.fields)} | set(family.computed)
    if str((fields.get("architectures") or [""])[0]).endswith(CLASSIFICATION):
        used |= LABEL_FIELDS
    return tuple(name for name in fields if name not in used | {"architectures", "model_type", "tezgah_format"})


def _architecture(path: Path, family: Family, fields: dict[str, Any]) -> str:
    stated = fields.get("architectures") or [family.architectures[0]]
    if not isinstance(stated, list) or stated[0] not in family.architectures:
        known = ", ".join(family.architectures)
        raise InputError(f"{path}: architectures {stated!r}: this tezgah reads {known} of {family.model_type}.")
    return str(stated[0])


def _told(error: msgspec.ValidationError) -> str:
    """A schema's complaint with the field's name first."""
    said, _, place = str(error).partition(" - at `$.")
    return f"{place.rstrip('`')}: {said[0].lower()}{said[1:]}" if place else re.sub("^Object ", "", said)


def _not_computed(path: Path, what: str, instead: str = "") -> InputError:
    return InputError(f"{path}: {what} is not computed by this tezgah{instead}. Choose a checkpoint without it.")
