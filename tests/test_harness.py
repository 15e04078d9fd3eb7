"""lm-evaluation-harness over our engine gives what it gives over `transformers`."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import tezgah
from tezgah import harness
from tezgah.errors import InputError
from tezgah.harness import harness_model, main
from tezgah.harness_requests import HarnessRequests, settings_of
from tezgah.models.checkpoint import save_model

TEXTS = ["def area(a, b):\n    return a * b\n", "Bir gün köyde yağmur yağdı, sonra güneş açtı.\n"] * 4
CONTEXT = 24
LONG = "def area(a, b): return a * b, and köyde yağmur yağdı; sonra güneş açtı, all of it again. " * 2
PAIRS = [
    ("def area", "(a, b):"),
    ("", "return a * b"),
    ("Bir gün ", "köyde"),
    ("Bir gün \n\t", "köyde"),
    (LONG, " yağmur"),
    (LONG[:40], LONG[40:70]),
    ("a", "\n"),
    *((context, chr(code)) for context in ("def", "Bir", "köy", "a", "=", "(a", "yağ") for code in range(33, 127)),
]
ROLLED = ["", "a", "return a * b", LONG, LONG * 3]
BEGIN = {"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}
FRAME = {
    "type": "TemplateProcessing",
    "single": [BEGIN, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [BEGIN, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}},
}


@pytest.fixture(scope="module", params=["gpt2", "llama", "llama, texts that begin with a token"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with random weights and its tokenizer."""
    home = tmp_path_factory.mktemp("model")
    tokenizer = tezgah.Tokenizer.train(TEXTS, vocab_size=290)
    shape = request.param.partition(",")[0]
    model = tezgah.new_model(290, shape=shape, n_layers=2, width=32, n_heads=2, context_length=CONTEXT)
    torch.manual_seed(3)
    for each in model.parameters():
        if each.ndim == 2:
            torch.nn.init.normal_(each, std=0.3)
    save_model(model, home, tokenizer.separator_id)
    tokenizer.save(home, CONTEXT)
    if "begin" in request.param:
        path = home / "tokenizer.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"post_processor": FRAME}))
    return home


def requests_of(folder: Path, batch_size: int = 4) -> HarnessRequests:
    model, tokenizer = tezgah.load(folder)
    assert tokenizer is not None
    return HarnessRequests(model, tokenizer, batch_size)


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Any:
    """The harness's own model of `transformers`."""
    huggingface = pytest.importorskip("lm_eval.models.huggingface")
    return huggingface.HFLM(pretrained=str(folder), dtype="float32", device="cpu", batch_size=3)


def instances(kind: str, arguments: list[Any]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance(kind, {}, each, place) for place, each in enumerate(arguments)]


def test_likelihoods_are_those_of_the_harness_over_transformers(folder: Path, theirs: Any) -> None:
    ours = harness_model()(path=str(folder), batch_size=4)
    asked = instances("loglikelihood", PAIRS)
    found, expected = ours.loglikelihood(asked), theirs.loglikelihood(asked)
    assert [score for score, _ in found] == pytest.approx([score for score, _ in expected], abs=1e-4)
    assert [is_greedy for _, is_greedy in found] == [is_greedy for _, is_greedy in expected]
    assert 1 <= sum(is_greedy for _, is_greedy in found) <= 7
    rolled = instances("loglikelihood_rolling", [(text,) for text in ROLLED])
    assert ours.loglikelihood_rolling(rolled) == pytest.approx(theirs.loglikelihood_rolling(rolled), abs=1e-3)


def test_greedy_texts_are_those_of_the_harness_over_transformers(folder: Path, theirs: Any) -> None:
    ours = harness_model()(path=str(folder), batch_size=4)
    contexts = ["def area", "Bir gün", LONG, "a", "köyde yağmur"]
    free = {"max_gen_toks": 12, "until": []}
    whole = ours.generate_until(instances("generate_until", [(each, dict(free)) for each in contexts]))
    stopped = [
        (each, {"max_gen_toks": 12, "until": [text[2:4], "zzz"], "do_sample": False})
        for each, text in zip(contexts, whole, strict=True)
    ]
    asked = [*[(each, dict(free)) for each in contexts], *stopped, ("def", {"until": "q", "max_gen_toks": 3})]
    found = ours.generate_until(instances("generate_until", asked))
    assert found == theirs.generate_until(instances("generate_until", asked))
    assert found[:5] == whole and all(len(b) < len(a) for a, b in zip(whole, found[5:10], strict=True))


def test_the_same_request_has_other_samples_each_time_and_the_same_ones_again(folder: Path) -> None:
    ours = requests_of(folder)
    warm = {"do_sample": True, "temperature": 1.5, "max_gen_toks": 8}
    asked: list[tuple[str, dict[str, Any]]] = [("def", warm), ("a", {"max_gen_toks": 4}), ("def", dict(warm))]
    asked += [("a", {"max_gen_toks": 4}), ("b", warm)]
    found, again = dict(ours.completions(asked)), dict(ours.completions(asked))
    assert found == again and sorted(found) == [0, 1, 2, 3, 4]
    assert found[0] != found[2] and found[1] == found[3]


def test_a_text_may_be_longer_than_the_context(folder: Path) -> None:
    ours = requests_of(folder)
    ((_, text),) = ours.completions([("def", {"max_gen_toks": 3 * CONTEXT})])
    assert len(text) > CONTEXT / 2
    ((score, _),) = ours.likelihoods([("a", LONG)])
    ((half, _),) = ours.likelihoods([("a", LONG[: len(LONG) // 2])])
    assert score < half < 0


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, {"temperature": 0.0, "max_new_tokens": 256, "stop": ("<|endoftext|>",)}),
        ({"until": "\n", "max_gen_toks": 5}, {"stop": ("\n", "<|endoftext|>"), "max_new_tokens": 5}),
        ({"until": ["", "a", "a"], "max_new_tokens": 7}, {"stop": ("a", "<|endoftext|>"), "max_new_tokens": 7}),
        ({"max_tokens": 9, "max_gen_toks": 8}, {"max_new_tokens": 8}),
        ({"do_sample": False, "temperature": 0.7}, {"temperature": 0.0}),
        ({"temperature": 0.7, "top_p": 0.5}, {"temperature": 0.7, "top_p": 0.5}),
        ({"do_sample": True, "top_k": None}, {"temperature": 1.0, "top_k": 0}),
    ],
)
def test_settings_in_the_words_of_the_harness(told: dict[str, Any], expected: dict[str, Any]) -> None:
    tokenizer = tezgah.Tokenizer.train(TEXTS, vocab_size=257)
    found = settings_of(told, tokenizer, 8)
    assert {name: getattr(found, name) for name in expected} == expected and found.rows == 8


def test_a_setting_that_is_none_is_told_of() -> None:
    tokenizer = tezgah.Tokenizer.train(TEXTS, vocab_size=257)
    with pytest.raises(InputError, match="penalty_alpha is no setting of generation"):
        settings_of({"penalty_alpha": 0.6}, tokenizer, 8)


def test_the_harness_drives_it_by_name(folder: Path, tmp_path: Path) -> None:
    lm_eval = pytest.importorskip("lm_eval")
    harness_model()
    questions, labels, choices = ["def area", "Bir"], [0, 1], ["(a, b)", "gün"]
    rows = [{"question": question, "label": label} for question, label in zip(questions, labels, strict=True)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {
        "task": "own",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": str(tmp_path / "own.jsonl"), "cache_dir": str(tmp_path / "cache")},
        "test_split": "train",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": choices,
        "doc_to_target": "label",
    }
    told = lm_eval.simple_evaluate(
        model="tezgah", model_args={"path": str(folder)}, tasks=[task], bootstrap_iters=0, log_samples=True
    )
    scores = requests_of(folder, 32).likelihoods([(each, f" {choice}") for each in questions for choice in choices])
    answers = [row["filtered_resps"] for row in told["samples"]["own"]]
    assert [[tuple(each) for each in row] for row in answers] == [scores[:2], scores[2:]]
    likeliest = [max(range(2), key=lambda choice: score[choice][0]) for score in (scores[:2], scores[2:])]
    right = [choice == label for choice, label in zip(likeliest, labels, strict=True)]
    assert told["results"]["own"]["acc,none"] == sum(right) / 2


def test_without_the_harness_a_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval.api.model", None)
    monkeypatch.setattr(harness, "harness_model", harness_model.__wrapped__)
    assert main() == 2
    assert capsys.readouterr().err == (
        "tezgah: lm-evaluation-harness is not installed: pip install 'tezgah[harness]'.\n"
    )
