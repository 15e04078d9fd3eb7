"""What lm-evaluation-harness asks of a model, answered by ours; nothing here imports the harness.

Texts become ids, and long ones lose their beginning, as in the harness's own model of `transformers`
(lm_eval/models/huggingface.py, 0.4.13), so that the two give the same figures.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec

from tezgah import console
from tezgah.generation.settings import GenerationSettings

if TYPE_CHECKING:
    from tezgah.models.causal import CausalLM
    from tezgah.tokenizer.tokenizer import Tokenizer

LONGEST_NAMES = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")  # the first given counts
USUAL_LONGEST = 256  # tokens, where a task says nothing


@dataclass(frozen=True)
class HarnessRequests:
    """The three kinds of requests, for a model that goes on from texts; `batch_size` rows are read or written at once.

    A text begins with the token that the tokenizer's own frame sets before it, as Llama's do, and with none otherwise;
    what has no text before it is predicted from that token, or else from the separator.
    """

    model: "CausalLM"
    tokenizer: "Tokenizer"
    batch_size: int

    def likelihoods(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        """Log-probability of each pair's second text after its first, and whether greedy decoding would write it.

        White space at the end of the first belongs to the second. Where both do not fit into the context, the
        beginning of the first is left out.
        """
        split = [_without_last_space(*pair) for pair in pairs]
        befores = self._encoded([before for before, _ in split])
        wholes = self._encoded([before + after for before, after in split])
        longest = self.model.config.context_length
        rows, firsts, cut = [], [], 0
        for before, whole in zip(befores, wholes, strict=True):
            after = whole[len(before) :]
            ids = ([*self._frame, *before] or [self._beginning]) + after
            kept = ids[-max(longest, len(after)) - 1 :]  # the last is predicted, not read
            cut += len(kept) < len(ids)
            rows.append(kept)
            firsts.append(len(kept) - len(after))
        _tell(cut, len(pairs), longest)
        return self._scores(rows, firsts)

    def rolling_likelihoods(self, texts: Sequence[str]) -> list[float]:
        """Log-probability of each text, every token once; in windows of a whole context, the last one too."""
        longest = self.model.config.context_length
        rows, firsts, owners = [], [], []
        for owner, ids in enumerate(self._encoded(texts)):
            stream = [self._beginning, *self._frame, *ids]
            for first in range(1, len(stream), longest):
                end = min(first + longest, len(stream))
                row = stream[max(0, end - 1 - longest) : end]
                rows.append(row)
                firsts.append(len(row) - (end - first))
                owners.append(owner)
        sums = [0.0] * len(texts)
        for owner, (score, _) in zip(owners, self._scores(rows, firsts), strict=True):
            sums[owner] += score
        return sums

    def completions(self, requests: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[tuple[int, str]]:
        """The text that goes on from each context, with the request's place, as they are finished.

        A request is a context and its settings in the harness's words (`settings_of`). The same request several times
        has a random stream each. A context is cut to what leaves room for the longest text, where there is such room.
        """
        from tezgah.generation.completions import ReadPrompt, completions

        places: dict[tuple[GenerationSettings, str], list[int]] = {}
        for place, (context, told) in enumerate(requests):
            places.setdefault((settings_of(told, self.tokenizer, self.batch_size), context), []).append(place)
        groups: dict[GenerationSettings, list[tuple[str, list[int]]]] = {}
        for (settings, context), own in places.items():
            n = 1 if settings.temperature == 0 else len(own)
            groups.setdefault(msgspec.structs.replace(settings, n=n), []).append((context, own))
        longest = self.model.config.context_length
        with console.progress("write", len(requests), "texts") as bar:
            for settings, asked in groups.items():
                room = longest - settings.max_new_tokens if settings.max_new_tokens < longest else longest
                ids = [[*self._frame, *each] for each in self._encoded([context for context, _ in asked])]
                _tell(sum(len(each) > room for each in ids), len(ids), room)
                read = [ReadPrompt(tuple(each[-room:]) or (self._beginning,), settings.max_new_tokens) for each in ids]
                for found in completions(self.model, self.tokenizer, read, settings):
                    own = asked[found.prompt][1]
                    for place in own if settings.n == 1 else own[found.candidate : found.candidate + 1]:
                        yield place, found.text
                        bar.advance()

    @cached_property
    def _frame(self) -> list[int]:
        """The ids that the tokenizer's own frame sets before a text."""
        import tokenizers

        read = tokenizers.Tokenizer.from_str(self.tokenizer.json).encode("a")
        is_special = [*read.special_tokens_mask, 0]
        return read.ids[: is_special.index(0)]

    @property
    def _beginning(self) -> int:
        """The id that the first token of a text is predicted from."""
        return self._frame[0] if self._frame else self.tokenizer.separator_id

    def _encoded(self, texts: Sequence[str]) -> list[list[int]]:
        ids, offsets = self.tokenizer.encode_batch(texts)
        return [ids[begin:end].tolist() for begin, end in pairwise(offsets.tolist())]

    def _scores(self, rows: Sequence[list[int]], firsts: Sequence[int]) -> list[tuple[float, bool]]:
        import numpy as np

        from tezgah.evaluation.continuations import score_rows

        ids = [np.array(row, np.int64) for row in rows]
        scores = score_rows(self.model, ids, firsts, self.batch_size, show_progress=True)
        return [(-each.nats, each.is_likeliest) for each in scores]


def settings_of(told: Mapping[str, Any], tokenizer: "Tokenizer", rows: int) -> GenerationSettings:
    """What a task's `generation_kwargs` ask for: `until`, `max_gen_toks`, `do_sample`, `temperature`, `top_p` …

    Without `do_sample` and temperature the likeliest token is taken. Raises InputError for names that are no setting.
    """
    from tezgah.generation.generate import make_settings

    given = {name: value for name, value in told.items() if value is not None}
    until = given.pop("until", [])
    stops = [each for each in ([until] if isinstance(until, str) else until) if each]  # the harness has empty ones
    lengths = [given.pop(name) for name in LONGEST_NAMES if name in given]
    is_sampled = given.pop("do_sample", bool(given.get("temperature")))
    temperature = given.pop("temperature", 1.0)
    return make_settings(
        {
            **given,
            "stop": tuple(dict.fromkeys([*stops, tokenizer.separator])),
            "max_new_tokens": int(lengths[0]) if lengths else USUAL_LONGEST,
            "temperature": float(temperature) if is_sampled else 0.0,
            "rows": rows,
        }
    )


def _without_last_space(context: str, continuation: str) -> tuple[str, str]:
    r"""A pair whose first text does not end with white space: the second has it.

    >>> _without_last_space("a b \n", "c")
    ('a b', ' \nc')
    """
    kept = context.rstrip()
    return kept, context[len(kept) :] + continuation


def _tell(cut: int, texts: int, longest: int) -> None:
    if cut:
        console.warn(f"{cut:,} of {texts:,} texts are longer than {longest:,} tokens: their beginnings are left out.")
