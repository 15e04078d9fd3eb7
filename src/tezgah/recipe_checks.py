"""What the fields of a recipe cannot mean together, each refused in one line."""

from collections.abc import Iterable, Mapping
from typing import Any

from tezgah.corpus.settings import CorpusSettings
from tezgah.errors import InputError
from tezgah.fields import shown, suggestion
from tezgah.models.settings import Shape, shape_of
from tezgah.models.sizing import AUTO, SHAPING, is_chosen

BUDGETS = ("steps", "tokens", "epochs", "minutes", "flops")
SHARES = ("weights", "temperature")  # of [corpus]; one of them, or none
BESIDE_FROM = ("from", "objective", "context_length")  # of [model]; all else comes from the folder


def check_together(values: Mapping[str, Mapping[str, Any]], name: str) -> None:
    """Raise InputError where the tables of a recipe, which goes by `name`, contradict one another."""
    _check_budget({budget: values["train"].get(budget) for budget in BUDGETS}, name)
    _check_choice(values, name)
    _check_shape(values["model"], name)
    _check_shares(values["corpus"], name)
    if values["train"].get("start") == "pairs":
        _check_pairs(values["model"], name)
    if values["tokens"].get("mode") == "stream":
        _check_stream(values, name)
    if values["model"].get("objective") == "mlm":
        _check_masks(values, name)
    if values["tokens"].get("fim_rate"):
        _check_infill(values["model"], name)
    if values["model"].get("from"):
        _check_start(values["model"], values["tokenizer"], name)


def check_weights(weights: Mapping[str, float], sources: Iterable[str], where: str) -> None:
    """Raise InputError where a weight is of no source, or a source has none; `where` opens the line."""
    known = list(dict.fromkeys(sources))
    for source in weights:
        if source not in known:
            listed = ", ".join(map(shown, known))
            raise InputError(
                f"{where}: {shown(source)} is no source.{suggestion(source, known)} The sources are {listed}."
            )
    for source in known:
        if source not in weights:
            raise InputError(f"{where}: {shown(source)} has no weight. Give it one, or take it out of the sources.")


def shape_of_table(model: Mapping[str, Any]) -> Shape:
    """The shape that a `[model]` table comes to. Raises InputError where it cannot learn the table's objective."""
    return shape_of(model.get("objective", "causal"), model.get("shape"))


def _check_shape(model: Mapping[str, Any], name: str) -> None:
    try:
        shape_of_table(model)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _check_budget(budgets: dict[str, Any], name: str) -> None:
    given = {budget: value for budget, value in budgets.items() if value is not None}
    if len(given) > 1:
        listed = " and ".join(f"{budget} = {value}" for budget, value in given.items())
        raise InputError(f"{name}: [train] {listed} are {len(given)} budgets at once. Keep one of them.")
    if not given:
        raise InputError(f"{name}: [train] has no budget. Set one of {', '.join(BUDGETS)}.")


def _check_choice(values: Mapping[str, Mapping[str, Any]], name: str) -> None:
    """Refuse what leaves nothing to choose from: a chosen size beside its numbers, a budget that does not tell it."""
    model, train = values["model"], values["train"]
    size = model.get("size", "")
    if is_chosen(size) and (stated := [field for field in SHAPING if model.get(field) is not None]):
        raise InputError(
            f'{name}: [model] size = "{size}" chooses {", ".join(stated)}. Leave out the size, or the numbers.'
        )
    if train.get("max_epochs") and values["tokens"].get("mode") == "stream":
        raise InputError(
            f'{name}: [train] max_epochs = {train["max_epochs"]}: with [tokens] mode = "stream" the sequences of an '
            "epoch are counted only while it is read. Leave it out."
        )
    if size == AUTO and train.get("epochs") is not None:
        raise InputError(
            f'{name}: [train] epochs = {train["epochs"]}: [model] size = "auto" follows from the work to be done, and '
            "epochs do not tell it. Set minutes, tokens or flops."
        )
    if train.get("steps") is not None and AUTO in (size, train.get("batch_size")):
        field = "[model] size" if size == AUTO else "[train] batch_size"
        raise InputError(
            f'{name}: [train] steps = {train["steps"]}: {field} = "auto" decides how large a step is. '
            "Set minutes, tokens or flops."
        )


def _check_pairs(model: Mapping[str, Any], name: str) -> None:
    """Refuse a model whose embedding and head cannot be had from counts."""
    if model.get("from") is not None:
        raise InputError(
            f'{name}: [train] start = "pairs" would overwrite the weights of [model] from. Leave one of them out.'
        )
    shape = shape_of_table(model)
    if shape == "bert":
        raise InputError(
            f'{name}: [train] start = "pairs" needs rotary positions. Set [model] shape = "modernbert", or leave start '
            "out."
        )
    if shape != "modernbert" and (model.get("tied") or shape not in ("qwen3", "llama")):
        raise InputError(
            f'{name}: [train] start = "pairs" needs a head of its own and no learned positions. Set [model] shape = '
            '"qwen3" or "llama", without tied = true, or leave start out.'
        )


def _check_shares(corpus: Mapping[str, Any], name: str) -> None:
    """Refuse shares of the sources that cannot be."""
    weights, temperature = (corpus.get(each) for each in SHARES)
    if weights is None:
        return
    where = f"{name}: [corpus] weights"
    if temperature is not None:
        raise InputError(f"{where} and temperature = {temperature} say two things. Keep one of them.")
    for source, weight in weights.items():
        if weight <= 0:
            raise InputError(
                f"{where}: {shown(source)} = {weight} must be above 0. To do without it, take it out of the sources."
            )
    if "source" not in corpus.get("keep_columns", ()):  # else the documents say which source they are of
        given = corpus.get("source", CorpusSettings().source)
        check_weights(weights, (given,) if isinstance(given, str) else given, where)


def _check_stream(values: Mapping[str, Mapping[str, Any]], name: str) -> None:
    """Refuse what cannot be known of a corpus before it has been read to its end."""
    if (epochs := values["train"].get("epochs")) is not None:
        raise InputError(
            f'{name}: [train] epochs = {epochs}: with [tokens] mode = "stream" the sequences of an epoch are counted '
            "only while it is read. Set steps, tokens, minutes or flops."
        )
    if values["corpus"].get("split") == "position":
        raise InputError(
            f'{name}: [corpus] split = "position": with [tokens] mode = "stream" documents are held out as they come, '
            'by their hash. Set it to "hash", or set mode to "stored".'
        )
    corpus = values["corpus"]
    if "source" in corpus.get("keep_columns", ()) and any(corpus.get(each) is not None for each in SHARES):
        raise InputError(
            f'{name}: [corpus] keep_columns has "source": with [tokens] mode = "stream" the recipe\'s own sources are '
            'mixed, not those of a column. Leave it out, or set mode to "stored".'
        )


def _check_masks(values: Mapping[str, Mapping[str, Any]], name: str) -> None:
    """Refuse what leaves a masked language model without masks: in its tokenizer, or in a prompt to be filled."""
    tokenizer, prompts = values["tokenizer"], values["train"].get("sample_prompts", ())
    if tokenizer.get("mask") is False and not tokenizer.get("path"):
        raise InputError(
            f'{name}: [tokenizer] mask = false: [model] objective = "mlm" needs a [MASK]. Leave mask out, or set it '
            "to true."
        )
    if prompts:
        from tezgah.generation.masked_text import read_masked  # loads tokenizers

        for prompt in prompts:
            try:
                read_masked(prompt)
            except InputError as error:
                raise InputError(f"{name}: [train] sample_prompts: {error}") from None


def _check_infill(model: Mapping[str, Any], name: str) -> None:
    """Refuse filling in the middle for a model that reads both sides of a gap anyway."""
    if model.get("objective") == "mlm":
        raise InputError(
            f"{name}: [tokens] fim_rate is for models that read from left to right. Leave it out, or set [model] "
            'objective = "causal".'
        )


def _check_start(model: Mapping[str, Any], tokenizer: Mapping[str, Any], name: str) -> None:
    """Refuse what cannot stand beside `[model] from`: another shape, or a tokenizer trained anew."""
    folder = model["from"]
    if own := [field for field, value in model.items() if field not in BESIDE_FROM and value is not None]:
        comes, it = ("comes", "it") if len(own) == 1 else ("come", "them")
        raise InputError(f"{name}: [model] {', '.join(own)}: {comes} from the folder {folder}. Leave {it} out.")
    trained = [field for field in tokenizer if field != "path"]
    if trained and not tokenizer.get("path"):
        raise InputError(
            f"{name}: [tokenizer] {', '.join(trained)}: beside [model] from no tokenizer is trained, its ids would not "
            f"be those that {folder} has learned. Leave the table out to keep the folder's, or set its path to one "
            "extended from that (`tezgah tokenizer extend`)."
        )
