"""A tokenizer: text to ids and back, exactly if it is over bytes, with one token that no text can spell."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tezgah.compiled import compilation_told
from tezgah.console import warn
from tezgah.cores import available_cores
from tezgah.errors import InputError
from tezgah.files import write_json, write_text
from tezgah.tokenizer.artefact import Artefact, parse, roles
from tezgah.tokenizer.bytelevel import UTF8_BYTES, token_bytes
from tezgah.tokenizer.count import Words
from tezgah.tokenizer.engine import Encoder
from tezgah.tokenizer.extend import extend
from tezgah.tokenizer.learn import Method, learn, learn_from_words
from tezgah.tokenizer.reading import COMMON_SEPARATORS, read_artefact
from tezgah.tokenizer.rows import Rows, gathered, in_order
from tezgah.tokenizer.settings import Algorithm, Normalization, Split
from tezgah.tokenizer.stream import StreamOfBytes, StreamOfTokens, TextStream, pieces
from tezgah.tokenizer.texts import utf8


class Tokenizer:
    """What a `tokenizer.json` does to text.

    `vocab_size` counts ids up to the largest; `separator` stands between documents and is
    never found inside one; `hash` is the SHA-256 of the `tokenizer.json` that `save` writes.
    """

    def __init__(self, artefact: Artefact) -> None:
        file = parse(artefact.text)
        self.json = artefact.text
        self.hash = hashlib.sha256(artefact.text.encode()).hexdigest()
        self.separator = artefact.separator
        self._threads = available_cores()
        self._encoder = Encoder(artefact.text, self._threads)
        vocabulary = self._encoder.vocabulary()
        for added in file.added_tokens:
            if vocabulary.get(added.content) != added.id:
                raise ValueError(
                    f"the added token {added.content!r} is stated to have the id {added.id}, which its place after "
                    f"the vocabulary does not give it: {vocabulary.get(added.content)}"
                )
        self.vocab_size = max(vocabulary.values()) + 1
        self._separator_id = None if self.separator is None else vocabulary[self.separator]
        self._bytes: list[bytes | None] | None = None
        if file.is_byte_level():
            self._bytes = [None] * self.vocab_size
            for token, token_id in vocabulary.items():
                self._bytes[token_id] = token_bytes(token)
            for added in file.added_tokens:
                self._bytes[added.id] = added.content.encode()

    @classmethod
    def train(
        cls,
        texts: Iterable[Any],
        vocab_size: int = 8192,
        split: Split = "turkish-safe",
        algorithm: Algorithm = "bpe",
        normalize: Normalization = "none",
        min_frequency: int = 0,
        max_token_length: int | None = None,
        limit_alphabet: int | None = None,
        mask: bool = False,
        infill: bool = False,
    ) -> Self:
        """A tokenizer learned from texts: strings, Arrow string arrays, or batches with a `text` column.

        The same texts give the same tokenizer ("unigram" excepted). WordPiece cuts words in BERT's way, whatever
        the split. "characters" has at most `vocab_size` ids, "bytes" always 257. The next three are limits as in
        `learn.Method`; with `mask` the vocabulary has [PAD] and [MASK] too, as an encoder needs them, with `infill` the
        tokens of `infill.py`.
        Raises InputError where the others find fewer ids than asked, or a vocabulary has no room for its alphabet.

        >>> tokenizer = Tokenizer.train(["su su su"], vocab_size=259)
        >>> tokenizer.decode(tokenizer.encode("su sus"))
        'su sus'
        >>> turkish = Tokenizer.train(["IŞIK"], algorithm="characters", normalize="lowercase-turkish")
        >>> turkish.decode(turkish.encode("IŞIK"))
        'ışık'
        """
        method = Method(split, algorithm, normalize, min_frequency, max_token_length, limit_alphabet, mask, infill)
        with compilation_told("tokenizer engine"):
            return cls(learn(utf8(texts), vocab_size, method))

    @classmethod
    def from_words(cls, words: Words, vocab_size: int, method: Method) -> Self:
        """The same from words that `learn.count` counted before for the same split, algorithm and normalization."""
        with compilation_told("tokenizer engine"):
            return cls(learn_from_words(words, vocab_size, method))

    def extend(self, texts: Iterable[Any], add: int) -> "Tokenizer":
        """A tokenizer with every id and merge of this one and up to `add` new tokens, learned from texts.

        Raises InputError where this is no BPE, or one whose merges cannot go on (`extend.py`).
        """
        with compilation_told("tokenizer engine"):
            return Tokenizer(Artefact(extend(self.json, utf8(texts), add, self._threads), self.separator))

    @property
    def separator_id(self) -> int:
        """The id of the token between documents. Raises InputError where the tokenizer has none."""
        if self._separator_id is None:
            raise InputError(
                f"the tokenizer has no token to set between documents (none of {', '.join(COMMON_SEPARATORS)}). "
                'Name one of its tokens as "eos_token" in tokenizer_config.json.'
            )
        return self._separator_id

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The tokenizer in a `tokenizer.json`, in a folder that holds one, or in GPT-2's two files in a folder."""
        path = Path(path)
        artefact = read_artefact(path)
        try:
            tokenizer = cls(artefact)
        except (ValueError, msgspec.MsgspecError) as error:
            raise InputError(f"{path}: not a usable tokenizer ({error}). Restore it, or train it anew.") from error
        if tokenizer._bytes is not None:
            held = {token[0] for token in tokenizer._bytes if token is not None and len(token) == 1}
            if missing := set(UTF8_BYTES) - held:
                warn(f"{path}: the vocabulary lacks {len(missing)} of UTF-8's bytes; text that has them loses them.")
        if holes := tokenizer.vocab_size - len(set(tokenizer._encoder.vocabulary().values())):
            warn(f"{path}: {holes:,} of its {tokenizer.vocab_size:,} ids have no token; they are decoded to nothing.")
        return tokenizer

    def encode(self, text: str, *, allow_special: bool = False) -> NDArray[np.int32]:
        """The ids of a text, (tokens,). No separator is added, and none is found in the text.

        `allow_special` makes special tokens of the text that spells them: only for text that you wrote yourself.
        """
        return self.encode_batch([text], allow_special=allow_special)[0]

    def encode_batch(
        self, texts: Iterable[Any], *, allow_special: bool = False
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The ids of many texts in one array, and where each text's begin and the last's end.

        Returns ids, (tokens,), and offsets, (rows + 1,): text i is ids[offsets[i]:offsets[i + 1]].
        """
        encode = self._encoder.encode_special if allow_special else self._encode
        with compilation_told("tokenizer engine"):
            return gathered(in_order(encode, utf8(texts), self._threads))

    def _encode(self, text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Rows:
        ids, ends = self._encoder.encode(text, offsets)
        if self._separator_id is not None and (ids == self._separator_id).any():
            raise InputError(
                f"a text spells {self.separator!r}, and this tokenizer's own rules turn it into the separator. "
                "Take it out of the text, or use another tokenizer."
            )
        return ids, ends

    def decode(self, ids: ArrayLike) -> str:
        """The text of ids; bytes that are no UTF-8 become U+FFFD, the separator is spelled out."""
        return self.decode_bytes(ids).decode(errors="replace")

    def decode_bytes(self, ids: ArrayLike) -> bytes:
        """The bytes of ids: of a tokenizer over bytes exactly those of the text."""
        wanted = [self._known(each) for each in np.asarray(ids, dtype=np.int64).ravel().tolist()]
        if self._bytes is None:
            return self._encoder.decode(wanted).encode()
        return b"".join([self._bytes[each] or b"" for each in wanted])  # an id that no token has is nothing

    def decode_stream(self, ids: Iterable[int]) -> Iterator[str]:
        """The text of ids piece by piece, as they come; what is half a character waits for its rest.

        The pieces put together are `decode` of all the ids.

        >>> tokenizer = Tokenizer.train(["su"], vocab_size=257)
        >>> list(tokenizer.decode_stream(tokenizer.encode("köy")))
        ['k', 'ö', 'y']
        """
        return pieces(self.text_stream(), (int(each) for each in ids))

    def text_stream(self) -> TextStream:
        """The same for one who has the ids one by one: `add` gives what an id completes, `end` what was waiting."""
        if self._bytes is None:
            return StreamOfTokens(self._encoder.decode, lambda token_id: self._encoder.is_byte(self._known(token_id)))
        held = self._bytes
        return StreamOfBytes(lambda token_id: held[self._known(token_id)] or b"")

    def _known(self, token_id: int) -> int:
        if not 0 <= token_id < self.vocab_size:
            raise InputError(f"id {token_id:,} is not in the vocabulary of {self.vocab_size:,} ids.")
        return token_id

    def save(self, folder: str | Path, model_max_length: int | None = None) -> None:
        """Write `tokenizer.json` and the `tokenizer_config.json` that `transformers` needs to open it.

        `model_max_length` is the context length of the model it goes with, in tokens.
        """
        folder = Path(folder)
        write_text(folder / "tokenizer.json", self.json)
        separators = {} if self.separator is None else {"bos_token": self.separator, "eos_token": self.separator}
        config: dict[str, Any] = {
            "tokenizer_class": "PreTrainedTokenizerFast",  # any other class would replace the split by its own
            **separators,
            "clean_up_tokenization_spaces": False,
            **roles(self.json),
        }
        if "mask_token" in config and "cls_token" not in config and self.separator is not None:
            config["cls_token"] = config["sep_token"] = self.separator
            config["model_input_names"] = ["input_ids", "attention_mask"]  # one text, so one token type
        if model_max_length is not None:
            config["model_max_length"] = model_max_length
        write_json(folder / "tokenizer_config.json", config)
