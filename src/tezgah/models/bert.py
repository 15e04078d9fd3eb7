"""BERT (Devlin et al. 2019): its configuration, and its names on disk, with any of its heads or none."""

from collections.abc import Sequence
from typing import Literal

from tezgah.models.config import EncoderConfig, Head
from tezgah.models.encoder import Encoder
from tezgah.models.family import Epsilon, Family, Fields, Layers, Probability, Size, initialize_normal
from tezgah.models.mapping import Entry, Plain, Zeros, layered
from tezgah.nn.config import StackConfig

ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}
HEADS: dict[str, Head] = {
    "BertModel": "pooler",
    "BertForMaskedLM": "masked_lm",
    "BertForPreTraining": "masked_lm",  # its second head, which tells whether two sentences follow one another, is left
    "BertForSequenceClassification": "classification",
}
LAYER = {
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.output.dense": "attention.output",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "mlp.up",
    "output.dense": "mlp.down",
    "output.LayerNorm": "mlp_norm",
}
OUTSIDE = {
    "bert.embeddings.word_embeddings.weight": "embedding.weight",
    "bert.embeddings.position_embeddings.weight": "positions.weight",
    "bert.embeddings.token_type_embeddings.weight": "token_types.weight",
    "bert.embeddings.LayerNorm.weight": "embedding_norm.weight",
    "bert.embeddings.LayerNorm.bias": "embedding_norm.bias",
}
POOLER = {"bert.pooler.dense.weight": "pooler.weight", "bert.pooler.dense.bias": "pooler.bias"}
CLASSIFIER = {"classifier.weight": "classifier.weight", "classifier.bias": "classifier.bias"}
MASKED = {
    "cls.predictions.transform.dense.weight": "masked_head.layer.weight",
    "cls.predictions.transform.dense.bias": "masked_head.layer.bias",
    "cls.predictions.transform.LayerNorm.weight": "masked_head.norm.weight",
    "cls.predictions.transform.LayerNorm.bias": "masked_head.norm.bias",
}


class BertFields(Fields, frozen=True, kw_only=True):
    """BERT's `config.json`."""

    vocab_size: Size = 30_522
    hidden_size: Size = 768
    num_hidden_layers: Layers = 12
    num_attention_heads: Size = 12
    intermediate_size: Size = 3_072
    hidden_act: Literal["gelu", "gelu_new", "gelu_pytorch_tanh"] = "gelu"
    hidden_dropout_prob: Probability = 0.1
    attention_probs_dropout_prob: Probability = 0.1
    classifier_dropout: Probability | None = None
    max_position_embeddings: Size = 512
    type_vocab_size: Size = 2
    layer_norm_eps: Epsilon = 1e-12
    tie_word_embeddings: bool = True


def config_of(fields: BertFields, architecture: str, tensors: Sequence[str]) -> EncoderConfig:
    """The configuration that a `config.json` states; whether a model without a head has a pooler, its tensors tell."""
    if fields.hidden_size % fields.num_attention_heads:
        raise ValueError(f"hidden_size {fields.hidden_size} that {fields.num_attention_heads} heads do not divide")
    head = HEADS[architecture]
    if head == "pooler" and tensors and not any(name.endswith("pooler.dense.weight") for name in tensors):
        head = "none"
    stack = StackConfig(
        n_layers=fields.num_hidden_layers,
        width=fields.hidden_size,
        n_heads=fields.num_attention_heads,
        n_kv_heads=fields.num_attention_heads,
        head_dim=fields.hidden_size // fields.num_attention_heads,
        mlp_width=fields.intermediate_size,
        norm="layer",
        norm_epsilon=fields.layer_norm_eps,
        mlp=ACTIVATIONS[fields.hidden_act],  # type: ignore[arg-type]
        dropout=fields.hidden_dropout_prob,
        attention_dropout=fields.attention_probs_dropout_prob,
        norm_first=False,
        causal=False,
    )
    return EncoderConfig(
        family="bert",
        vocab_size=fields.vocab_size,
        context_length=fields.max_position_embeddings,
        stack=stack,
        n_token_types=fields.type_vocab_size,
        head=head,
        tied=fields.tie_word_embeddings,
        embedding_dropout=fields.hidden_dropout_prob,
        head_dropout=fields.hidden_dropout_prob if fields.classifier_dropout is None else fields.classifier_dropout,
    )


def fields_of(config: EncoderConfig) -> BertFields:
    """What `config.json` says of a configuration."""
    stack = config.stack
    return BertFields(
        vocab_size=config.vocab_size,
        hidden_size=stack.width,
        num_hidden_layers=stack.n_layers,
        num_attention_heads=stack.n_heads,
        intermediate_size=stack.mlp_width,
        hidden_act="gelu" if stack.mlp == "gelu" else "gelu_new",
        hidden_dropout_prob=stack.dropout,
        attention_probs_dropout_prob=stack.attention_dropout,
        classifier_dropout=config.head_dropout,
        max_position_embeddings=config.context_length,
        type_vocab_size=config.n_token_types,
        layer_norm_eps=stack.norm_epsilon,
        tie_word_embeddings=config.tied,
    )


def architecture_of(config: EncoderConfig) -> str:
    """The stock class of a configuration."""
    return next(name for name, head in HEADS.items() if head == ("pooler" if config.head == "none" else config.head))


def key_map(config: EncoderConfig) -> list[Entry]:
    """Every tensor on disk and the parameter it holds."""
    names = dict(OUTSIDE)
    if config.head in ("pooler", "classification"):
        names |= POOLER
    if config.head == "classification":
        names |= CLASSIFIER
    if config.head == "masked_lm":
        names |= MASKED
    entries: list[Entry] = [Plain(theirs, ours) for theirs, ours in names.items()]
    if config.head == "masked_lm" and config.tied:
        entries.append(Plain("cls.predictions.bias", "masked_head.bias"))
    elif config.head == "masked_lm":  # the stock class then has a bias that nothing reads beside the one that counts
        entries.append(Plain("cls.predictions.decoder.weight", "masked_head.scores.weight"))
        entries.append(Plain("cls.predictions.decoder.bias", "masked_head.bias"))
        entries.append(Zeros("cls.predictions.bias", ("masked_head.bias",)))
    return entries + layered(config.n_layers, "bert.encoder.layer", LAYER, ("weight", "bias"))


FAMILY = Family(
    model_type="bert",
    architectures=tuple(HEADS),
    fields=BertFields,
    computed={
        "add_cross_attention": (False,),
        "is_decoder": (False,),
        "position_embedding_type": ("absolute",),
    },
    prefix="bert.",
    headless="BertModel",
    surplus=(
        r"embeddings\.position_ids",
        r"embeddings\.token_type_ids",
        r"cls\.predictions\.decoder\.(weight|bias)",
        r"cls\.seq_relationship\.(weight|bias)",
        r"pooler\.dense\.(weight|bias)",
    ),
    build=Encoder,
    initialize=initialize_normal,
    config_of=config_of,
    fields_of=fields_of,
    architecture_of=architecture_of,
    key_map=key_map,
)
