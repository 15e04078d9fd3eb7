"""Filled masks against `transformers` and against the plainest loops one can write."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

import tezgah
from tezgah.cli import main
from tezgah.errors import InputError
from tezgah.generation.fill import fill, fill_texts
from tezgah.generation.likelihood import likelihoods
from tezgah.generation.masked_text import MARK, read_masked
from tezgah.generation.orders import Order
from tezgah.generation.sampling import Sampling
from tezgah.models.checkpoint import save_model
from tezgah.tokenizer.mask import frame, special_ids
from tezgah.tokenizer.tokenizer import Tokenizer

TEXTS = ["Bir gün bir kedi, kapıdaki fareye güldü.", "Kediler fareleri sever; fareler kedileri sevmez!"] * 3
PROMPTS = [
    "Bir [MASK] bir kedi, [MASK:2] güldü.",
    "[MASK] sever",
    "Kediler [MASK] sever; fareler [MASK] sevmez, bir [MASK]!",
    "Bir gün bir kedi, kapıdaki fareye [MASK]",
]
ORDERS: tuple[Order, ...] = ("left", "certain", "all", "gibbs")


def make(folder: Path, algorithm: Any, vocab_size: int) -> Path:
    """A BERT of `transformers` with random weights, that fills in no special token, as one that was trained."""
    tokenizer = Tokenizer.train(TEXTS, vocab_size, algorithm=algorithm, mask=True)
    tokenizer.save(folder)
    torch.manual_seed(0)
    model = transformers.BertForMaskedLM(
        transformers.BertConfig(
            vocab_size=tokenizer.vocab_size,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=40,
            initializer_range=0.3,
        )
    )
    with torch.no_grad():
        model.cls.predictions.bias[torch.from_numpy(special_ids(tokenizer))] = -30.0
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["wordpiece", "bpe"])
def folder(request: Any, tmp_path_factory: Any) -> Path:
    return make(tmp_path_factory.mktemp(request.param), request.param, 75 if request.param == "wordpiece" else 285)


@pytest.fixture(scope="module")
def opened(folder: Path) -> Any:
    return tezgah.load(folder)


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Any:
    return transformers.BertForMaskedLM.from_pretrained(folder).eval()


def framed(tokenizer: Tokenizer, *parts: str | int) -> list[int]:
    """Ids of texts and ids, as a model reads them."""
    before, after = frame(tokenizer)
    ids = [each for part in parts for each in ([part] if isinstance(part, int) else tokenizer.encode(part).tolist())]
    return [*before, *ids, *after]


def logits(theirs: Any, ids: list[int]) -> Any:
    with torch.no_grad():
        return theirs(torch.tensor([ids])).logits[0].log_softmax(-1)


def test_one_mask_gives_what_the_pipeline_gives(folder: Path, opened: Any) -> None:
    pipeline = transformers.pipeline("fill-mask", str(folder), device="cpu")
    for prompt in ("Bir gün bir [MASK], kapıdaki fareye güldü.", "[MASK] sever", "Kediler [MASK]"):
        expected = pipeline(prompt, top_k=7)
        found = fill(opened[0], opened[1], prompt, n=7)
        assert [each.ids for each in found] == [((each["token"],),) for each in expected]
        assert [each.score for each in found] == pytest.approx([each["score"] for each in expected], rel=1e-4)


def test_from_left_to_right_is_the_plain_loop(opened: Any, theirs: Any) -> None:
    tokenizer = opened[1]
    mask = json.loads(tokenizer.json)["model"]["vocab"]["[MASK]"]
    after = " bir" if json.loads(tokenizer.json)["model"]["type"] == "BPE" else "bir"
    ids = framed(tokenizer, "Bir gün", mask, mask, after, mask)
    total = 0.0
    while mask in ids:
        place = ids.index(mask)
        scores = logits(theirs, ids)[place]
        ids[place] = int(scores.argmax())
        total += float(scores[ids[place]])
    (found,) = fill(opened[0], opened[1], "Bir gün [MASK:2] bir [MASK]", n=1, order="left")
    assert framed(tokenizer, "Bir gün", *found.ids[0], after, *found.ids[1]) == ids
    assert found.score == pytest.approx(math.exp(total / 3), rel=1e-4)


def test_the_other_orders_are_their_plain_loops(opened: Any, theirs: Any) -> None:
    tokenizer, prompt = opened[1], "Bir [MASK:5]"
    mask = json.loads(tokenizer.json)["model"]["vocab"]["[MASK]"]
    begin = framed(tokenizer, "Bir", *[mask] * 5)
    places = [place for place, each in enumerate(begin) if each == mask]

    ids = list(begin)  # the most certain first
    while mask in ids:
        best = logits(theirs, ids).max(-1)
        place = max((place for place in places if ids[place] == mask), key=lambda place: best.values[place])
        ids[place] = int(best.indices[place])
    assert fill(opened[0], opened[1], prompt, n=1, order="certain")[0].ids[0] == tuple(ids[place] for place in places)

    ids, held = list(begin), dict.fromkeys(places, -math.inf)  # mask-predict, three rounds: 5, 3, 1 of 5 masked
    for count in (5, 3, 1):
        again = sorted(places, key=lambda place: held[place])[:count]
        for place in again:
            ids[place] = mask
        best = logits(theirs, ids).max(-1)
        for place in again:
            ids[place], held[place] = int(best.indices[place]), float(best.values[place])
    assert fill(opened[0], opened[1], prompt, n=1, order="all", sweeps=3)[0].ids[0] == tuple(
        ids[place] for place in places
    )

    ids = list(begin)  # Gibbs, greedy: two sweeps
    for place in places * 2:
        ids[place] = mask
        ids[place] = int(logits(theirs, ids)[place].argmax())
    assert fill(opened[0], opened[1], prompt, n=1, order="gibbs", sweeps=2)[0].ids[0] == tuple(
        ids[place] for place in places
    )


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=1.5, top_k=30, top_p=0.95, seed=4)])
def test_a_row_hangs_on_no_other(opened: Any, order: Order, sampling: Sampling) -> None:
    together = fill_texts(opened[0], opened[1], PROMPTS, 3, order, sampling, 2)
    for prompt, candidates in zip(PROMPTS, together, strict=True):
        (alone,) = fill_texts(opened[0], opened[1], [prompt], 3, order, sampling, 2)
        assert [each.ids for each in alone] == [each.ids for each in candidates]
        assert [each.score for each in alone] == pytest.approx([each.score for each in candidates], rel=1e-4)


def test_a_sampled_candidate_hangs_on_its_number_alone(opened: Any) -> None:
    warm: dict[str, Any] = {"temperature": 2.0, "seed": 9}
    few, many = fill(opened[0], opened[1], PROMPTS[2], n=2, **warm), fill(opened[0], opened[1], PROMPTS[2], n=6, **warm)
    assert [each.ids for each in few] == [each.ids for each in many[:2]]
    assert len({each.ids for each in many}) > 3
    assert fill(opened[0], opened[1], PROMPTS[2], n=6, temperature=2.0, seed=10) != many
    assert (
        fill(opened[0], opened[1], PROMPTS[2], n=1, temperature=2.0, top_k=1)[0].ids
        == fill(opened[0], opened[1], PROMPTS[2], n=1)[0].ids
    )


def test_an_open_length_is_the_one_of_the_highest_score(opened: Any) -> None:
    tried = [fill(opened[0], opened[1], f"Bir [MASK:{length}] güldü.", n=1)[0] for length in range(1, 9)]
    (found,) = fill(opened[0], opened[1], "Bir [MASK*] güldü.", n=1)
    assert found.ids == max(tried, key=lambda each: each.score).ids


WORDS = st.text(st.sampled_from("abçğıİöşü \n\t.,'“🐈#[]_"), max_size=3)


@settings(max_examples=15)
@given(st.lists(WORDS, min_size=2, max_size=3))
def test_text_outside_the_masks_comes_back(opened: Any, parts: list[str]) -> None:
    prompt = "[MASK]".join(parts)
    masked = read_masked(prompt)
    for found in fill(opened[0], opened[1], prompt, n=2):
        assert len(found.fills) == len(masked.lengths)
        rebuilt = masked.texts[0] + "".join(f + t for f, t in zip(found.fills, masked.texts[1:], strict=True))
        assert found.text == rebuilt
        assert found.text.startswith(parts[0]) and found.text.endswith(parts[-1])
        assert not MARK.search("".join(found.fills))


def test_the_likelihood_masks_each_token_by_itself(opened: Any, theirs: Any) -> None:
    tokenizer, text = opened[1], "Kediler fareleri sever."
    ids, expected = framed(tokenizer, text), 0.0
    n_before = len(frame(tokenizer)[0])
    for place in range(n_before, n_before + len(tokenizer.encode(text))):
        masked = list(ids)
        masked[place] = json.loads(tokenizer.json)["model"]["vocab"]["[MASK]"]
        expected += float(logits(theirs, masked)[place, ids[place]])
    found, other = likelihoods(opened[0], opened[1], [text, "Bir gün"])
    assert found.log_likelihood == pytest.approx(expected, rel=1e-4) and found.is_pseudo
    assert sum(score for _, score in found.words) == pytest.approx(found.log_likelihood)
    assert [word for word, _ in found.words] == ["Kediler", "fareleri", "sever", "."]
    assert found.perplexity == pytest.approx(math.exp(-expected / found.tokens), rel=1e-3)
    assert other.log_likelihood == pytest.approx(
        likelihoods(opened[0], opened[1], ["Bir gün"])[0].log_likelihood, rel=1e-5
    )


def test_of_a_causal_model_it_is_the_ordinary_one() -> None:
    tokenizer = Tokenizer.train(TEXTS, 300)
    model = tezgah.new_model(tokenizer.vocab_size, n_layers=1, width=16, n_heads=1, context_length=16)
    text = "Kediler sever"
    ids = torch.tensor([[tokenizer.separator_id, *tokenizer.encode(text)]])
    with torch.no_grad():
        expected = model.eval()(ids)[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None]).sum()
    (found,) = likelihoods(model, tokenizer, [text])
    assert found.log_likelihood == pytest.approx(float(expected), rel=1e-5) and not found.is_pseudo
    with pytest.raises(InputError, match="the model sees 16 at once"):
        likelihoods(model, tokenizer, ["kedi! " * 20])
    with torch.no_grad():
        model.head_weight().fill_(math.nan)
    with pytest.raises(InputError, match="the model's scores are not numbers"):
        likelihoods(model, tokenizer, [text])
    with pytest.raises(InputError, match="a qwen3 goes on from a text; it fills no masks. Use `tezgah generate`"):
        fill(model, tokenizer, "[MASK]")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("Bir kedi", r"'Bir kedi' has no \[MASK\]. Put"),
        ("Bir [MASK:0]", r"\[MASK:0\]: a mask stands for one token or more"),
        ("[MASK:41]", "a text has 41 masks, the model sees 40 at once"),
        ("[MASK:99999999999]", "a text has 99,999,999,999 masks"),  # which no memory holds
        (f"[MASK:{'9' * 5000}]", r"has no \[MASK\]. Put"),
        ("kedi " * 40 + "[MASK]", "tokens, the model sees 40 at once"),
    ],
)
def test_prompts_that_cannot_be_filled(opened: Any, prompt: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        fill(opened[0], opened[1], prompt)


def test_a_model_and_a_tokenizer_must_know_masks(opened: Any) -> None:
    model, _ = opened
    with pytest.raises(InputError, match=r"the tokenizer has no \[MASK\]"):
        fill(model, Tokenizer.train(TEXTS, 290), "[MASK]")
    with pytest.raises(InputError, match="a bert looks both ways; it does not go on from a text. Use `tezgah fill`"):
        tezgah.generate(model, opened[1], "Bir")
    with pytest.raises(InputError, match="order is 'up'; give one of left, certain, all, gibbs"):
        fill(opened[0], opened[1], "[MASK]", order="up")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="a text is empty"):
        likelihoods(opened[0], opened[1], [""])


def test_the_verbs_answer(folder: Path, capsys: Any) -> None:
    assert main(["fill", str(folder), "Bir [MASK] kedi", "[MASK] sever", "-n", "2", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [each["prompt"] for each in answer["candidates"]] == ["Bir [MASK] kedi"] * 2 + ["[MASK] sever"] * 2
    assert set(answer["candidates"][0]) == {"prompt", "text", "fills", "ids", "score"}
    assert main(["fill", str(folder), "Bir [MASK] kedi", "[MASK] sever", "-n", "2"]) == 0
    first, third = answer["candidates"][0], answer["candidates"][2]
    shown = capsys.readouterr().out
    assert shown.startswith(f"{first['score']:.4f}  {first['text']}\n")
    assert f"\n\n{third['score']:.4f}  {third['text']}\n" in shown
    assert main(["likelihood", str(folder), "Bir kedi"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "Bir kedi" and told[1].startswith("pseudo log likelihood") and told[-1].split()[0] == "kedi"
    assert main(["generate", str(folder), "Bir"]) == 2
    assert (
        f"{folder}: a bert looks both ways; it does not go on from a text. Use `tezgah fill`."
        in capsys.readouterr().err
    )


def refused(words: list[str], capsys: Any) -> str:
    """The one line that a command is refused with."""
    assert main(words) == 2
    (told,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("tezgah: "))
    return str(told)


def test_too_long_texts_are_counted_and_none_is_cut(folder: Path, capsys: Any) -> None:
    long = "kedi " * 60
    told = refused(["fill", str(folder), f"{long} [MASK]", "Bir [MASK]", f"{long} [MASK]"], capsys)
    assert "2 of 3 texts are too long: the first of them has " in told and "sees 40 at once, and none is cut." in told
    assert "a text has 60 masks, the model sees 40" in refused(["fill", str(folder), "[MASK:60]"], capsys)
    told = refused(["likelihood", str(folder), "Bir kedi", long], capsys)
    assert "1 of 2 texts are too long: the first of them has " in told and "and none is cut. Give a shorter" in told


def test_the_wrong_verb_or_folder_names_the_right_one(folder: Path, tmp_path: Path, capsys: Any) -> None:
    assert "'Bir kedi' has no [MASK]. Put [MASK]" in refused(["fill", str(folder), "Bir kedi"], capsys)
    tokenizer = Tokenizer.train(TEXTS, 280)
    save_model(
        tezgah.new_model(tokenizer.vocab_size, n_layers=1, width=16, n_heads=1, context_length=16), tmp_path / "causal"
    )
    tokenizer.save(tmp_path / "causal")
    told = refused(["fill", str(tmp_path / "causal"), "[MASK]"], capsys)
    assert told.endswith("causal: a qwen3 goes on from a text; it fills no masks. Use `tezgah generate`.")
    maskless = tmp_path / "maskless"
    shutil.copytree(folder, maskless)
    tokenizer.save(maskless)
    for words in (["fill", str(maskless), "[MASK]"], ["likelihood", str(maskless), "Bir"]):
        assert f"{maskless}: the tokenizer has no [MASK]. Train one with" in refused(words, capsys)
    Tokenizer.train(TEXTS, 300, mask=True).save(maskless)
    for words in (["fill", str(maskless), "[MASK]"], ["likelihood", str(maskless), "Bir"]):
        assert f"{maskless}: its tokenizer has 300 ids, its model " in refused(words, capsys)
