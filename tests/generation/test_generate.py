from typing import Any

import pytest
import torch

from tezgah.errors import InputError
from tezgah.generation.completions import complete
from tezgah.generation.generate import generate, make_settings, stream


@pytest.fixture
def model(history):
    return history(257, 64)


@pytest.fixture
def speaker(history, byte_tokenizer):
    """Makes a model that says a text after any one-byte prompt, greedily, then the separator."""

    def make(text):
        model = history(257, 128)
        spoken = [*byte_tokenizer.encode(text).tolist(), 0]

        def next_logits(ids, cache, counts=None):
            scores = history.next_logits(model, ids, cache, counts)
            scores.fill_(0)
            for row, length in enumerate(cache.lengths.tolist()):
                scores[row, spoken[min(length, len(spoken)) - 1]] = 1
            return scores

        model.next_logits = next_logits
        return model

    return make


def test_text_is_prompt_and_completion_up_to_end_of_text(speaker, byte_tokenizer):
    assert generate(speaker("merhaba"), byte_tokenizer, ">") == [">merhaba"]
    assert generate(speaker("merhaba"), byte_tokenizer, ">", max_new_tokens=3) == [">mer"]


def test_max_length_counts_the_prompt(speaker, byte_tokenizer):
    assert generate(speaker("merhaba"), byte_tokenizer, ">", max_length=3) == [">me"]
    with pytest.raises(InputError, match="max_length is 1 and the prompt has 1 tokens"):
        generate(speaker("merhaba"), byte_tokenizer, ">", max_length=1)


def test_until_block_cuts_the_completion_and_stops_there(speaker, byte_tokenizer):
    model = speaker("def f():\n    return 1\n\nprint(f())\nmore and more")
    assert generate(model, byte_tokenizer, "\n", 100, until="block") == ["\ndef f():\n    return 1"]
    assert model.row_steps == len("def f():\n    return 1\n\nprint")


def test_an_empty_prompt_begins_a_document(model, byte_tokenizer):
    (text,) = generate(model, byte_tokenizer, "", max_new_tokens=4)
    from_separator = [0]
    for _ in range(4):
        from_separator.append(model.scores(torch.tensor([from_separator])).argmax().item())
    assert text == byte_tokenizer.decode(from_separator[1:])


def test_candidates_come_in_order_and_do_not_depend_on_how_many(model, byte_tokenizer):
    eight = generate(model, byte_tokenizer, "ab", 20, temperature=0.9, n=8, seed=3)
    assert generate(model, byte_tokenizer, "ab", 20, temperature=0.9, n=3, seed=3) == eight[:3]
    assert generate(model, byte_tokenizer, "ab", 20, temperature=0.9, n=8, seed=4) != eight
    assert all(text.startswith("ab") for text in eight)


@pytest.mark.parametrize(
    ("field", "value"), [("n", 0), ("n", -2), ("max_new_tokens", 0), ("temperature", -1.0), ("until", "blok")]
)
def test_nonsense_is_refused_by_name(model, byte_tokenizer, field, value):
    with pytest.raises(InputError, match=f"^{field} is "):
        generate(model, byte_tokenizer, "a", **{field: value})


def test_ids_that_the_tokenizer_lacks_are_never_chosen(history, byte_tokenizer):
    padded = history(320, 64)
    with torch.no_grad():
        padded.table[:, 257:] += 50
    for temperature in (0.0, 1.0):
        assert generate(padded, byte_tokenizer, "ab", 20, temperature)[0].startswith("ab")


@pytest.mark.parametrize("most", [1, 2, 50])
@pytest.mark.parametrize("stop", [["\n\n"], ["return"], ["urn 1\n", "never"], ["return 1\n\nprint"]])
def test_a_stop_ends_a_text_before_it_and_nothing_is_decoded_after_it(speaker, byte_tokenizer, stop, most):
    said = "def f():\n    return 1\n\nprint(f())"
    model = speaker(said)
    (text,) = generate(model, byte_tokenizer, ">", 100, stop=stop[:most])
    assert text == ">" + said[: said.index(stop[0])]
    assert model.row_steps == said.index(stop[0]) + len(stop[0])


def test_a_stop_may_be_one_text(speaker, byte_tokenizer):
    assert generate(speaker("merhaba"), byte_tokenizer, ">", stop="ha") == [">mer"]


@pytest.mark.parametrize("settings", [{}, {"until": "block"}, {"stop": ["ö\n", "\n\n#"]}, {"max_new_tokens": 5}])
@pytest.mark.parametrize("said", ["köyü gördü\n\nprint(1)", "a\n\n# b", "def f():\n    x = 'ö'\n\n\n", "ö", ""])
def test_streamed_pieces_join_to_the_text_that_is_not_streamed(speaker, byte_tokenizer, said, settings):
    (whole,) = generate(speaker(said), byte_tokenizer, ">", **settings)
    pieces = list(stream(speaker(said), byte_tokenizer, ">", **settings))
    assert ">" + "".join(pieces) == whole
    assert "" not in pieces


def test_a_sample_is_the_same_streamed(model, byte_tokenizer):
    warm: dict[str, Any] = {"temperature": 1.0, "seed": 3, "max_new_tokens": 40}
    (whole,) = generate(model, byte_tokenizer, "ab", **warm)
    assert "ab" + "".join(stream(model, byte_tokenizer, "ab", **warm)) == whole


def test_streaming_leaves_the_model_and_gradients_as_they_were_between_two_pieces(model, byte_tokenizer):
    model.train()
    for _ in stream(model, byte_tokenizer, "ab", max_new_tokens=5):
        assert model.training and torch.is_grad_enabled()


def test_streaming_several_is_refused(model, byte_tokenizer):
    with pytest.raises(InputError, match="one completion can be streamed"):
        stream(model, byte_tokenizer, "ab", n=2)


def test_many_prompts_at_once_give_what_each_gives_alone(model, byte_tokenizer):
    prompts = ["ab", "", "abc", "köy", "ab", "x" * 30]
    settings = make_settings({"temperature": 0.9, "n": 3, "max_new_tokens": 12, "rows": 4, "stop": ["a"]})
    together = complete(model, byte_tokenizer, prompts, settings)
    alone = [each for prompt in prompts for each in complete(model, byte_tokenizer, [prompt], settings)]
    assert [each.text for each in together] == [each.text for each in alone]
    assert [(each.prompt, each.candidate) for each in together] == [(p, c) for p in range(6) for c in range(3)]


def test_completions_say_why_they_end(speaker, byte_tokenizer):
    def reason(**settings):
        (found,) = complete(speaker("ab\n\ndef f"), byte_tokenizer, [">"], make_settings(settings))
        return found.reason

    assert [reason(), reason(stop="b"), reason(until="block"), reason(max_new_tokens=3)] == [
        "end",
        "stop",
        "block",
        "length",
    ]


@pytest.mark.parametrize("settings", [{}, {"stop": "r"}, {"until": "block"}, {"max_new_tokens": 4}])
def test_beams_end_where_greedy_text_ends(speaker, byte_tokenizer, settings):
    """Of a model that knows one text only, every beam search finds that one first."""

    def sure(said):
        model = speaker(said)
        scores = model.next_logits
        model.next_logits = lambda *given: scores(*given) * 50
        return model

    said = "merhaba\n\nif x"
    assert generate(sure(said), byte_tokenizer, ">", num_beams=3, **settings) == generate(
        sure(said), byte_tokenizer, ">", **settings
    )


def test_a_prompt_longer_than_the_context_is_cut_or_refused(model, byte_tokenizer, capsys):
    long = "abcdefgh" * 10
    cut = generate(model, byte_tokenizer, long, 5)
    assert "80 tokens, the model sees 64 at once" in capsys.readouterr().err
    assert cut[0].removeprefix(long) == generate(model, byte_tokenizer, long[-64:], 5)[0].removeprefix(long[-64:])
    with pytest.raises(InputError, match="the prompt has 80 tokens, the model sees 64 at once"):
        generate(model, byte_tokenizer, long, 5, overlong="refuse")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"stop": [""]}, "a stop is empty"),
        ({"overlong": "cut"}, "overlong is 'cut'"),
        ({"num_beams": 0}, "num_beams is 0"),
        ({"num_beams": 2, "n": 3}, "n is 3, and 2 beams"),
        ({"num_beams": 2, "temperature": 1.0}, "temperature is 1.0; beam search"),
        ({"num_beams": 2, "logprobs": 1}, "beam search takes no logprobs"),
        ({"typcal_p": 0.5}, "typcal_p is no setting of generation"),
        ({"top_p": 1.5}, "top_p is 1.5"),
        ({"max_seconds": -1.0}, "max_seconds is -1.0"),
    ],
)
def test_more_nonsense_is_refused_by_name(model, byte_tokenizer, settings, said):
    with pytest.raises(InputError, match=said):
        generate(model, byte_tokenizer, "a", **settings)
