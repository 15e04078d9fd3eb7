import pytest
import torch

from tezgah.errors import InputError
from tezgah.generation.decode import generate_ids
from tezgah.generation.sampling import Sampling, sample

GREEDY = Sampling()
WARM = Sampling(temperature=1.0, top_k=20, top_p=0.9, seed=7)


def without_cache(model, prompt, max_new_tokens, sampling, row):
    """The plain way: every token from all that is seen. Full context: go on with its later half."""
    window = list(prompt[-model.config.context_length :])
    new_ids = []
    with torch.no_grad():
        for position in range(max_new_tokens):
            if len(window) > model.config.context_length:
                window = window[-max(1, model.config.context_length // 2) :]
            scores = model.scores(torch.tensor([window]))
            window.append(sample(scores, sampling, [row], position).item())
            new_ids.append(window[-1])
    return new_ids


@pytest.mark.parametrize("sampling", [GREEDY, WARM])
@pytest.mark.parametrize(("context_length", "prompt_length"), [(64, 5), (16, 16), (16, 15), (7, 3), (1, 1)])
def test_cached_rows_equal_the_plain_way_also_past_the_context(history, sampling, context_length, prompt_length):
    model = history(30, context_length).eval()
    prompt = list(range(prompt_length))
    rows = generate_ids(model, prompt, 40, sampling, range(3))
    assert rows == [without_cache(model, prompt, 40, sampling, row) for row in range(3)]


def test_any_rows_of_many_equal_those_rows_alone(history):
    model = history(30, 16)
    many = generate_ids(model, [1, 2, 3], 30, WARM, range(8))
    assert len({tuple(row) for row in many}) == 8
    assert generate_ids(model, [1, 2, 3], 30, WARM, range(5, 8)) == many[5:]
    assert generate_ids(model, [1, 2, 3], 30, WARM, [6, 2]) == [many[6], many[2]]


def test_rows_end_at_the_separator_and_leave_the_batch_without_changing_the_others(history):
    model, hot = history(6, 32), Sampling(temperature=4.0)
    free = generate_ids(model, [1], 20, hot, range(10))
    model.row_steps = 0
    ended = generate_ids(model, [1], 20, hot, range(10), separator_id=0)
    assert ended == [row[: row.index(0)] if 0 in row else row for row in free]
    assert sum(len(row) == 20 for row in ended) < 10
    assert model.row_steps <= sum(len(row) + 1 for row in ended)


def test_a_predicate_ends_a_row_after_the_token_that_made_it_true(history):
    model = history(30, 16)
    free = generate_ids(model, [1], 12, WARM, range(4))
    ended = generate_ids(model, [1], 12, WARM, range(4), is_finished=lambda ids: len(ids) >= 2 and sum(ids) > 50)
    for whole, row in zip(free, ended, strict=True):
        assert row == whole[: len(row)]
        assert len(row) == 12 or sum(row) > 50
        assert len(row) <= 2 or sum(row[:-1]) <= 50
    assert any(len(row) < 12 for row in ended)


def test_decoding_stops_when_every_row_has_ended(history):
    model = history(30, 16)
    generate_ids(model, [1], 1_000, WARM, range(4), is_finished=lambda ids: len(ids) == 3)
    assert model.row_steps == 1 + 4 + 4  # the prompt once, then two steps of four rows


def test_the_prompt_is_read_once_for_all_rows(history):
    model = history(30, 64)
    generate_ids(model, list(range(20)), 2, WARM, range(9))
    assert model.row_steps == 1 + 9


def test_a_long_prompt_keeps_its_tail_and_says_so(history, capsys):
    model = history(30, 8)
    long = list(range(20))
    assert generate_ids(model, long, 5, GREEDY) == generate_ids(model, long[-8:], 5, GREEDY)
    assert capsys.readouterr().err.count("20 tokens, the model sees 8 at once") == 1


def test_modes_of_all_modules_come_back(history):
    model = history(30, 8).train()
    model.frozen = torch.nn.Dropout(0.1).eval()
    generate_ids(model, [1], 3, GREEDY)
    assert [module.training for module in (model, model.dropout, model.frozen)] == [True, True, False]
    with pytest.raises(RuntimeError):
        generate_ids(model, [1], 3, GREEDY, is_finished=lambda ids: (_ for _ in ()).throw(RuntimeError))
    assert model.training and torch.is_grad_enabled()


def test_nonsense_is_refused_in_one_line(history):
    model = history(30, 8)
    for message, prompt, tokens in [("max_new_tokens is 0", [1], 0), ("no tokens", [], 5), ("id 30", [30], 5)]:
        with pytest.raises(InputError, match=message):
            generate_ids(model, prompt, tokens, GREEDY)
