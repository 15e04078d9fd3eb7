import pytest
import torch

from tezgah.errors import InputError
from tezgah.generation.generate import generate


@pytest.fixture
def model(history):
    return history(257, 64)


@pytest.fixture
def speaker(history, byte_tokenizer):
    """Makes a model that says a text after any one-byte prompt, greedily, then the separator."""

    def make(text):
        model = history(257, 128)
        spoken = [*byte_tokenizer.encode(text).tolist(), 0]

        def next_logits(ids, cache):
            scores = history.next_logits(model, ids, cache)
            scores.fill_(0)
            scores[:, spoken[cache.length - 1]] = 1
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
