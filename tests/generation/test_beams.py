"""Beam search, and greedy decoding, token for token as `transformers` do it."""

import copy
import math
from itertools import product
from typing import Any, Literal

import pytest
import torch
import transformers

from tezgah.errors import InputError
from tezgah.generation.beams import Beams, search
from tezgah.generation.decode import decode, generate_ids
from tezgah.generation.rows import Decoding, Wanted
from tezgah.generation.sampling import Sampling
from tezgah.models.build import build_config, build_model
from tezgah.models.checkpoint import load_model, save_model
from tezgah.models.settings import ModelSettings
from tezgah.nn.modes import evaluating

VOCAB = 61
SHAPES = {
    "gpt2": ModelSettings(shape="gpt2", n_layers=2, width=32, n_heads=4, context_length=64),
    "llama": ModelSettings(shape="llama", n_layers=2, width=32, n_heads=4, n_kv_heads=2, context_length=64),
    "qwen3": ModelSettings(n_layers=2, width=32, n_heads=4, n_kv_heads=2, context_length=64),
}
STOPPING: tuple[Literal["false", "true", "never"], ...] = ("false", "true", "never")
WAYS = list(product([1.0, 0.0, 2.0, -0.5], STOPPING))


@pytest.fixture(scope="module", params=SHAPES)
def pair(request, tmp_path_factory) -> Any:
    """One of ours and the same in `transformers`, in float64, with weights that make ends and repetitions likely."""
    made: Any = build_model(build_config(SHAPES[request.param], VOCAB), seed=3)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim == 2:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
        made.head_weight()[0] *= 2  # the separator is likelier than most
    folder = tmp_path_factory.mktemp("pair")
    save_model(made, folder, separator_id=0)
    theirs: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    return load_model(folder, torch.float64).eval(), theirs.eval()


def prompts(count: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(5)
    sizes = torch.randint(1, 12, (count,), generator=generator).tolist()
    return [torch.randint(1, VOCAB, (size,), generator=generator).tolist() for size in sizes]


def theirs_of(model: Any, prompt: list[int], new: int, **settings: Any) -> list[list[int]]:
    """The new ids of each returned sequence, up to its end."""
    found = model.generate(
        torch.tensor([prompt]), max_new_tokens=new, do_sample=False, eos_token_id=0, pad_token_id=0, **settings
    )
    rows = [row[len(prompt) :].tolist() for row in found]
    return [row[: row.index(0)] if 0 in row else row for row in rows]


def test_beams_equal_those_of_transformers(pair):
    ours, theirs = pair
    ended = 0
    for place, prompt in enumerate(prompts(36)):
        penalty, early = WAYS[place % len(WAYS)]
        beams = Beams(2 + place % 4, 2, penalty, early)
        found = search(ours, prompt, 16, beams, Sampling(), separator_id=0)
        stopping = {"false": False, "true": True, "never": "never"}[early]
        expected = theirs_of(
            theirs,
            prompt,
            16,
            num_beams=beams.count,
            num_return_sequences=2,
            length_penalty=penalty,
            early_stopping=stopping,
        )
        assert [each.ids for each in found] == expected, (prompt, beams)
        ended += sum(each.is_ended for each in found)
    assert 5 < ended < 70


class Lowered(transformers.LogitsProcessor):
    """Takes the penalty from a token's score for every time that it was `chosen` in the same step."""

    def __init__(self, prompt: int, chosen: list[list[int]], penalty: float) -> None:
        self.prompt, self.chosen, self.penalty = prompt, chosen, penalty

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        chosen = torch.tensor(self.chosen[input_ids.shape[1] - self.prompt], dtype=torch.long)
        return scores - self.penalty * torch.bincount(chosen, minlength=scores.shape[1])


def their_groups(
    model: Any, prompt: list[int], new: int, groups: int, size: int, penalty: float, monkeypatch: Any, **settings: Any
) -> list[tuple[float, list[int]]]:
    """Algorithm 1 of Vijayakumar et al. 2018, group after group: what one chooses hangs on those before it alone.

    Each is a beam search of `transformers`, which has no groups of its own any more.
    """
    chosen: list[list[int]] = [[] for _ in range(new)]
    going_on = type(model)._get_running_beams_for_next_iteration
    found: list[tuple[float, list[int]]] = []
    for _ in range(groups):
        mine: list[list[int]] = []

        def watched(*, topk_running_sequences: Any, mine: list[list[int]] = mine, **named: Any) -> Any:
            likeliest = topk_running_sequences[0, :, len(prompt) + len(mine)].tolist()
            mine.append([each for each in likeliest if each != 0][:size])  # the best that have not ended go on
            return going_on(model, topk_running_sequences=topk_running_sequences, **named)

        monkeypatch.setattr(model, "_get_running_beams_for_next_iteration", watched)
        ended = model.generate(
            torch.tensor([prompt]),
            max_new_tokens=new,
            do_sample=False,
            eos_token_id=0,
            pad_token_id=0,
            num_beams=size,
            num_return_sequences=size,
            logits_processor=transformers.LogitsProcessorList([Lowered(len(prompt), chosen, penalty)]),
            output_scores=True,
            return_dict_in_generate=True,
            **settings,
        )
        rows = [row[len(prompt) :].tolist() for row in ended.sequences]
        rows = [row[: row.index(0)] if 0 in row else row for row in rows]
        found += zip(ended.sequences_scores.tolist(), rows, strict=True)
        chosen = [[*before, *now] for before, now in zip(chosen, [*mine, *[[]] * (new - len(mine))], strict=True)]
    return sorted(found, key=lambda each: -each[0])


@pytest.mark.parametrize(("groups", "size", "penalty"), [(2, 2, 0.7), (3, 2, 1.5), (2, 3, 0.4)])
def test_groups_are_beam_searches_lowered_by_what_groups_before_chose(pair, groups, size, penalty, monkeypatch):
    ours, theirs = pair
    ends = set()
    for place, prompt in enumerate(prompts(5)):
        length_penalty, early = WAYS[(place * 5 + groups) % len(WAYS)]
        beams = Beams(groups * size, groups * size, length_penalty, early, groups, penalty)
        found = search(ours, prompt, 12, beams, Sampling(), separator_id=0)
        stopping = {"false": False, "true": True, "never": "never"}[early]
        told = {"length_penalty": length_penalty, "early_stopping": stopping}
        expected = their_groups(theirs, prompt, 12, groups, size, penalty, monkeypatch, **told)
        assert [each.ids for each in found] == [ids for _, ids in expected], (prompt, beams)
        assert [each.score for each in found] == pytest.approx([score for score, _ in expected], rel=1e-5)
        ends |= {len(each.ids) for each in found}
    assert len(ends) > 2


def test_a_large_penalty_keeps_groups_apart_at_every_token(pair):
    found = search(pair[0], [3, 4], 6, Beams(5, 5, groups=5, diversity_penalty=1e4), Sampling())
    assert all(len(set(ids)) == 5 for ids in zip(*(each.ids for each in found), strict=True))


def test_scores_are_those_of_transformers(pair):
    ours, theirs = pair
    for prompt in prompts(4):
        found = search(ours, prompt, 10, Beams(4, 4), Sampling(), separator_id=0)
        expected = theirs.generate(
            torch.tensor([prompt]),
            max_new_tokens=10,
            num_beams=4,
            num_return_sequences=4,
            eos_token_id=0,
            pad_token_id=0,
            do_sample=False,
            return_dict_in_generate=True,
            output_scores=True,
        )
        torch.testing.assert_close(torch.tensor([each.score for each in found]), expected.sequences_scores.float())


def test_beams_with_penalties_equal_those_of_transformers(pair):
    ours, theirs = pair
    for prompt in prompts(6):
        found = search(ours, prompt, 14, Beams(3), Sampling(repetition_penalty=1.4, no_repeat_ngram=2), separator_id=0)
        settings = {"num_beams": 3, "repetition_penalty": 1.4, "no_repeat_ngram_size": 2}
        assert [each.ids for each in found] == theirs_of(theirs, prompt, 14, **settings)


def test_greedy_rows_equal_those_of_transformers(pair):
    ours, theirs = pair
    for prompt in prompts(24):
        assert generate_ids(ours, prompt, 20, Sampling(), separator_id=0) == theirs_of(theirs, prompt, 20)


def test_one_beam_is_greedy(pair):
    for prompt in prompts(4):
        (found,) = search(pair[0], prompt, 12, Beams(1), Sampling())
        assert [found.ids] == generate_ids(pair[0], prompt, 12, Sampling())


def test_beams_past_the_context_go_on_from_its_later_half(pair):
    ours, _ = pair
    (alone,) = search(ours, [3, 4], 90, Beams(1), Sampling())
    assert [alone.ids] == generate_ids(ours, [3, 4], 90, Sampling())
    assert [len(each.ids) for each in search(ours, [3, 4], 90, Beams(3, 3), Sampling())] == [90] * 3


def test_what_beams_cannot_do_is_refused(pair):
    with pytest.raises(InputError, match="temperature is 1"):
        search(pair[0], [1], 4, Beams(2), Sampling(temperature=1.0))
    with pytest.raises(InputError, match="n is 3, and 2 beams"):
        Beams(2, 3)
    with pytest.raises(InputError, match="5 beams make no 2 groups"):
        Beams(5, groups=2, diversity_penalty=1.0)
    for groups, penalty in ((2, 0.0), (1, 0.5)):
        with pytest.raises(InputError, match="groups differ by the penalty alone"):
            Beams(4, groups=groups, diversity_penalty=penalty)
    with pytest.raises(InputError, match="diversity_penalty is -1"):
        Beams(4, groups=2, diversity_penalty=-1.0)
    for length_penalty in (20.0, -12.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="give a number from −11 to 11 for completions of up to 150 tokens"):
            search(pair[0], [1], 150, Beams(2, length_penalty=length_penalty), Sampling())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("length_penalty", "longest"), [(11.0, 150), (-11.0, 150), (83.0, 2), (-83.0, 1)])
def test_the_strongest_penalty_of_length_gives_scores_that_are_numbers(pair, length_penalty, longest):
    for early in ("false", "true", "never"):
        found = search(pair[0], [3, 4], longest, Beams(3, 3, length_penalty, early), Sampling(), separator_id=0)
        assert all(math.isfinite(each.score) and each.score < 0 for each in found)


@pytest.mark.slow
def test_two_hundred_prompts_give_the_tokens_of_transformers(pair):
    ours, theirs = pair
    for prompt in prompts(200):
        assert generate_ids(ours, prompt, 24, Sampling(), separator_id=0) == theirs_of(theirs, prompt, 24)
        found = search(ours, prompt, 24, Beams(4, 4), Sampling(), separator_id=0)
        assert [each.ids for each in found] == theirs_of(theirs, prompt, 24, num_beams=4, num_return_sequences=4)


@pytest.mark.slow
def test_float32_leaves_the_tokens_of_transformers_at_near_ties_alone(pair):
    """200 prompts of 52 tokens: at most one flip in 10,000 tokens, where the two best scores nearly meet."""
    ours, theirs = (copy.deepcopy(each).float() for each in pair)
    theirs.generation_config.eos_token_id = None
    wanted = [Wanted(tuple(prompt), 52) for prompt in prompts(200)]
    with evaluating(ours):
        rows = [row for row in decode(ours, wanted, Decoding(Sampling(), most_rows=32)) if row.reason]
    compared, flips = 0, 0
    for row in rows:
        prompt = list(row.wanted.prompt)
        expected = theirs.generate(torch.tensor([prompt]), max_new_tokens=52, do_sample=False, pad_token_id=0)
        theirs_ids = expected[0, len(prompt) :].tolist()
        same = next((k for k, ids in enumerate(zip(row.new_ids, theirs_ids, strict=True)) if ids[0] != ids[1]), 52)
        compared += min(same + 1, 52)
        if same < 52:
            flips += 1
            best = theirs(expected[:, : len(prompt) + same]).logits[0, -1].topk(2).values
            assert best[0] - best[1] < 1e-4 * best.abs().max()
    assert flips <= compared / 10_000, f"{flips} flips in {compared:,} tokens"
    assert compared > 10_000
