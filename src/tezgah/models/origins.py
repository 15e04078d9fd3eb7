"""The names that well-known code gives to a GPT's tensors, stated as data: theirs → ours.

`{}` stands for a layer's number. Where ours are several, they lie side by side in one tensor.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from tezgah.models.mapping import Entry, Joined, Plain

BLOCK = "stack.blocks.{}."
USUAL = {"weight": "weight", "bias": "bias"}
SCALED = {"scale": "weight", "shift": "bias"}
WEIGHT = {"weight": "weight"}
SCALE = {"scale": "weight"}


@dataclass(frozen=True)
class Interleaved:
    """A query or key matrix whose rotary pairs are rows (0, 1), (2, 3) … of each head; ours are (i, i + head_dim / 2).

    The pairs of Su et al. 2021, eq. 34, in two orders: permuting the rows of queries and of keys alike changes no
    product of the two.
    """

    theirs: str
    ours: str
    head_dim: int

    def to_disk(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """The tensor to write."""
        ours = parameters[self.ours]
        halves = ours.reshape(-1, 2, self.head_dim // 2, *ours.shape[1:])  # (heads, 2, pairs, width)
        return halves.transpose(1, 2).reshape(ours.shape)

    def from_disk(self, tensor: Tensor, sizes: Mapping[str, int]) -> dict[str, Tensor]:
        """The parameter it holds."""
        pairs = tensor.reshape(-1, self.head_dim // 2, 2, *tensor.shape[1:])  # (heads, pairs, 2, width)
        return {self.ours: pairs.transpose(1, 2).reshape(tensor.shape)}


@dataclass(frozen=True)
class Origin:
    """Code whose names are known.

    `sign` is a pattern of a name that tells it, together with `taller`: whether that tensor has more rows than
    columns, where this matters. `layers` is a pattern of what stands before a layer's number. `names` is None for
    Hugging Face's own, which every family's key map states. `interleaved` are those whose rotary pairs lie so,
    `surplus` patterns of tensors that nothing needs, and `note` says what the weights cannot tell of this code.
    """

    told: str
    families: tuple[str, ...]
    sign: str
    layers: str
    names: Mapping[str, str | tuple[str, ...]] | None = None
    interleaved: frozenset[str] = field(default_factory=frozenset)
    surplus: tuple[str, ...] = ()
    taller: bool | None = None
    note: str = ""

    def entries(self, n_layers: int, head_dim: int) -> list[Entry | Interleaved]:
        """Every tensor on disk and the parameter or parameters it holds, of code with names of its own."""
        assert self.names is not None
        found: list[Entry | Interleaved] = []
        for theirs, ours in self.names.items():
            for layer in range(n_layers if "{}" in theirs else 1):
                name = theirs.format(layer)
                if isinstance(ours, tuple):
                    found.append(Joined(name, tuple(each.format(layer) for each in ours), False))
                elif theirs in self.interleaved:
                    found.append(Interleaved(name, ours.format(layer), head_dim))
                else:
                    found.append(Plain(name, ours.format(layer)))
        return found


def _named(theirs: str, ours: str, modules: Mapping[str, str], parts: Mapping[str, str]) -> dict[str, str]:
    """The names of `modules`, theirs → ours, with the names of their parts."""
    return {
        f"{theirs}{their_module}.{their_part}": f"{ours}{our_module}.{our_part}"
        for their_module, our_module in modules.items()
        for their_part, our_part in parts.items()
    }


def _joined(theirs: str, modules: tuple[str, ...], parts: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """One tensor for several modules of a block."""
    return {
        f"{theirs}.{their_part}": tuple(f"{BLOCK}{module}.{our_part}" for module in modules)
        for their_part, our_part in parts.items()
    }


QUERY_KEY_VALUE = ("attention.query", "attention.key", "attention.value")
RASCHKA_QKV = {
    "att.W_query": "attention.query",
    "att.W_key": "attention.key",
    "att.W_value": "attention.value",
    "att.out_proj": "attention.output",
}
RASCHKA_OUTSIDE = {"tok_emb.weight": "embedding.weight", "out_head.weight": "head.weight"}
RASCHKA_SURPLUS = (r"trf_blocks\.\d+\.att\.(mask|cos|sin)", "mask|cos|sin", r"out_head\.weight")
RASCHKA_NORMS = {"norm1": "attention_norm", "norm2": "mlp_norm"}
RASCHKA_QK_NORMS = {"att.q_norm": "attention.query_norm", "att.k_norm": "attention.key_norm"}
RASCHKA_SWIGLU = {"ff.fc1": "mlp.gate", "ff.fc2": "mlp.up", "ff.fc3": "mlp.down"}
META_ATTENTION = {"wq": "query", "wk": "key", "wv": "value", "wo": "output"}

NANOGPT = Origin(
    told="nanoGPT or minGPT",
    families=("gpt2",),
    sign=r"transformer\.h\.0\.attn\.c_attn\.weight",
    taller=True,  # a Linear; of the same name, GPT-2's Conv1D is wider than tall
    layers=r"transformer\.h\.",
    names={
        "transformer.wte.weight": "embedding.weight",
        "transformer.wpe.weight": "positions.weight",
        "lm_head.weight": "head.weight",
        **_named("transformer.", "stack.", {"ln_f": "norm"}, USUAL),
        **_named("transformer.h.{}.", BLOCK, {"ln_1": "attention_norm", "ln_2": "mlp_norm"}, USUAL),
        **_joined("transformer.h.{}.attn.c_attn", QUERY_KEY_VALUE, USUAL),
        **_named("transformer.h.{}.", BLOCK, {"attn.c_proj": "attention.output"}, USUAL),
        **_named("transformer.h.{}.", BLOCK, {"mlp.c_fc": "mlp.up", "mlp.c_proj": "mlp.down"}, USUAL),
    },
    surplus=(r"transformer\.h\.\d+\.attn\.(bias|masked_bias)", r"lm_head\.weight"),
    note="nanoGPT's GELU is exact (activation_function gelu), minGPT's the tanh approximation (gelu_new).",
)

RASCHKA_GPT = Origin(
    told="Build a Large Language Model (From Scratch)",
    families=("gpt2",),
    sign=r"trf_blocks\.0\.ff\.layers\.0\.weight",
    layers=r"trf_blocks\.",
    names={
        **RASCHKA_OUTSIDE,
        "pos_emb.weight": "positions.weight",
        **_named("", "stack.", {"final_norm": "norm"}, SCALED),
        **_named("trf_blocks.{}.", BLOCK, RASCHKA_NORMS, SCALED),
        **_named("trf_blocks.{}.", BLOCK, RASCHKA_QKV, USUAL),
        **_named("trf_blocks.{}.", BLOCK, {"ff.layers.0": "mlp.up", "ff.layers.2": "mlp.down"}, USUAL),
    },
    surplus=RASCHKA_SURPLUS,
    note="The book's GELU is the tanh approximation (activation_function gelu_new).",
)

RASCHKA_LLAMA = Origin(
    told="the Llama beside Build a Large Language Model (From Scratch)",
    families=("llama",),
    sign=r"trf_blocks\.0\.ff\.fc1\.weight",
    layers=r"trf_blocks\.",
    names={
        **RASCHKA_OUTSIDE,
        **_named("", "stack.", {"final_norm": "norm"}, WEIGHT),
        **_named("trf_blocks.{}.", BLOCK, RASCHKA_NORMS | RASCHKA_QKV | RASCHKA_SWIGLU, WEIGHT),
    },
    surplus=RASCHKA_SURPLUS,
)

RASCHKA_QWEN3 = Origin(
    told="the Qwen3 beside Build a Large Language Model (From Scratch)",
    families=("qwen3",),
    sign=r"trf_blocks\.0\.att\.q_norm\.scale",
    layers=r"trf_blocks\.",
    names={
        **RASCHKA_OUTSIDE,
        **_named("", "stack.", {"final_norm": "norm"}, SCALE),
        **_named("trf_blocks.{}.", BLOCK, RASCHKA_NORMS, SCALE),
        **_named("trf_blocks.{}.", BLOCK, RASCHKA_QK_NORMS, SCALE),
        **_named("trf_blocks.{}.", BLOCK, RASCHKA_QKV | RASCHKA_SWIGLU, WEIGHT),
    },
    surplus=RASCHKA_SURPLUS,
)

META_LLAMA = Origin(
    told="Meta's Llama or llama2.c",
    families=("llama",),
    sign=r"tok_embeddings\.weight",
    layers=r"layers\.",
    names={
        "tok_embeddings.weight": "embedding.weight",
        "norm.weight": "stack.norm.weight",
        "output.weight": "head.weight",
        **_named("layers.{}.", BLOCK, {"attention_norm": "attention_norm", "ffn_norm": "mlp_norm"}, WEIGHT),
        **_named("layers.{}.attention.", f"{BLOCK}attention.", META_ATTENTION, WEIGHT),
        **_named("layers.{}.feed_forward.", f"{BLOCK}mlp.", {"w1": "gate", "w3": "up", "w2": "down"}, WEIGHT),
    },
    interleaved=frozenset({"layers.{}.attention.wq.weight", "layers.{}.attention.wk.weight"}),
    surplus=(
        r"freqs_(cis|cos|sin)",
        r"rope\.freqs",
        r"layers\.\d+\.attention\.(mask|inner_attention\.rope\.freqs)",
        r"output\.weight",
    ),
)

HUGGING_FACE = tuple(
    Origin(told=f"Hugging Face's {family}", families=(family,), sign=sign, layers=layers, taller=taller)
    for family, sign, layers, taller in (
        ("openai-gpt", r"(transformer\.)?tokens_embed\.weight", r"(transformer\.)?h\.", None),
        ("gpt2", r"(transformer\.)?h\.0\.attn\.c_attn\.weight", r"(transformer\.)?h\.", False),
        ("qwen3", r"(model\.)?layers\.0\.self_attn\.q_norm\.weight", r"(model\.)?layers\.", None),
        ("llama", r"(model\.)?embed_tokens\.weight", r"(model\.)?layers\.", None),
        ("bert", r"(bert\.)?embeddings\.word_embeddings\.weight", r"(bert\.)?encoder\.layer\.", None),
        ("modernbert", r"(model\.)?embeddings\.tok_embeddings\.weight", r"(model\.)?layers\.", None),
    )
)

# In the order in which they are tried: the signs of earlier ones may hold later ones' too.
ORIGINS = (NANOGPT, RASCHKA_QWEN3, RASCHKA_LLAMA, RASCHKA_GPT, META_LLAMA, *HUGGING_FACE)
