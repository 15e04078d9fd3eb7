"""A model as a Hugging Face folder: config.json, model.safetensors, generation_config.json."""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from tezgah.errors import InputError
from tezgah.files import check_format, read_json, write_bytes, write_json
from tezgah.models.causal import CausalLM
from tezgah.models.config import CausalConfig
from tezgah.models.families import FAMILIES

FORMAT = 1


def save_model(model: CausalLM, folder: Path, separator_id: int) -> None:
    """Write `model` into `folder`, so that `transformers` opens it with equal logits.

    `separator_id` is the id that begins and ends a document. Tied tensors are written once.
    """
    family = FAMILIES[model.config.family]
    ids = {"bos_token_id": separator_id, "eos_token_id": separator_id}
    config = {
        "architectures": [family.architecture],
        "model_type": family.model_type,
        "tezgah_format": FORMAT,
        "dtype": "float32",
        "vocab_size": model.config.vocab_size,
        "tie_word_embeddings": model.config.tied,
        **ids,
        **family.to_hugging_face(model.config),
    }
    parameters = {name: tensor.detach().cpu() for name, tensor in model.named_parameters()}
    tensors = {entry.theirs: entry.to_disk(parameters).contiguous() for entry in family.key_map(model.config)}
    write_bytes(folder / "model.safetensors", save(tensors, metadata={"format": "pt"}))
    write_json(folder / "generation_config.json", ids)
    write_json(folder / "config.json", config)


def load_model(folder: Path) -> CausalLM:
    """Open a folder that `save_model` or `transformers` wrote, in float32, ready to evaluate.

    Raises InputError for a missing or damaged file, or a family that is not known.
    """
    model = CausalLM(read_config(folder))
    load_weights(model, folder)
    return model.eval()


def read_config(folder: Path) -> CausalConfig:
    """The configuration that a folder's `config.json` states."""
    path = folder / "config.json"
    fields = read_json(path)
    if not isinstance(fields, dict):
        raise InputError(f"{path}: holds no JSON object. Restore the file.")
    if "tezgah_format" in fields:
        check_format(path, fields["tezgah_format"], FORMAT)
    family = FAMILIES.get(fields.get("model_type", ""))
    if family is None:
        known = ", ".join(FAMILIES)
        raise InputError(f"{path}: model_type {fields.get('model_type')!r} is not one this tezgah reads ({known}).")
    for name, values in family.computed.items():
        if name in fields and fields[name] not in values:
            raise InputError(
                f"{path}: {name} = {fields[name]!r} is not computed by this tezgah ({name} = {values[0]!r} is). "
                "Choose a checkpoint without it."
            )
    try:
        return family.from_hugging_face(fields)
    except ValueError as error:
        raise InputError(f"{path}: {error} is not computed by this tezgah. Choose a checkpoint without it.") from None
    except (KeyError, TypeError, AssertionError) as error:
        raise InputError(f"{path}: the field {error} is missing or wrong for {family.model_type}.") from None


def load_weights(model: CausalLM, folder: Path) -> None:
    """Copy the weights in `folder` into `model`, every tensor checked for name and shape first."""
    path = folder / "model.safetensors"
    entries = FAMILIES[model.config.family].key_map(model.config)
    parameters = dict(model.named_parameters())
    sizes = {name: len(parameter) for name, parameter in parameters.items()}
    try:
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
            prefix = "" if any(name.startswith(("transformer.", "model.")) for name in names) else None
            for entry in entries:
                theirs = entry.theirs if prefix == "" else entry.theirs.split(".", 1)[1]
                if theirs not in names:
                    raise InputError(f"{path}: has no tensor {theirs}. Restore the file from its source.")
                for name, tensor in entry.from_disk(file.get_tensor(theirs), sizes).items():
                    _copy(path, theirs, parameters[name], tensor)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: damaged ({error}). Restore the file, or use an earlier checkpoint.") from None


def _copy(path: Path, name: str, parameter: Any, tensor: Tensor) -> None:
    if parameter.shape != tensor.shape:
        raise InputError(
            f"{path}: {name} gives {tuple(tensor.shape)} where config.json says {tuple(parameter.shape)}. "
            "The two files are not of one model."
        )
    parameter.data.copy_(tensor)
