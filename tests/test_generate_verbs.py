"""`tezgah generate` with files, and `tezgah complete`."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tezgah import Tokenizer, cli, load, new_model
from tezgah.generation import rows_file
from tezgah.generation.completions import complete, completions
from tezgah.generation.generate import generate as tezgah_generate
from tezgah.generation.generate import make_settings
from tezgah.models.checkpoint import save_model

FLAGS = ["--temperature", "0.9", "-n", "3", "--max-new-tokens", "5", "--rows", "4"]
SETTINGS = make_settings({"temperature": 0.9, "n": 3, "max_new_tokens": 5, "rows": 4})
PROMPTS = ["def f(", "köy", "a b c", "def f(", "\tx", "son", "yedi"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model over bytes that says something."""
    folder = tmp_path_factory.mktemp("model")
    tokenizer = Tokenizer.train(["a"], algorithm="bytes")
    made = new_model(tokenizer.vocab_size, n_layers=1, width=32, n_heads=2, context_length=64)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim == 2:
                parameter.mul_(4)
    save_model(made, folder, separator_id=tokenizer.separator_id)
    tokenizer.save(folder)
    return folder


@pytest.fixture(scope="module")
def drafts(tmp_path_factory: pytest.TempPathFactory, model: Path) -> dict[str, Path]:
    """A model near that one, with the same tokenizer, and one with another."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("near", "other")}
    near, tokenizer = load(model)
    assert tokenizer is not None
    with torch.no_grad():
        for parameter in near.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)), alpha=0.15)
    other = Tokenizer.train(["abcb"], algorithm="characters")
    for name, its in (("near", tokenizer), ("other", other)):
        save_model(near, folders[name], separator_id=its.separator_id)
        its.save(folders[name])
    return folders


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(PROMPTS) + "\n", encoding="utf-8")
    return path


def generate(model: Path, *words: Any) -> int:
    return cli.main(["generate", str(model), *map(str, words)])


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def test_prompts_of_a_file_become_rows_of_a_file_in_their_order(model, prompts, tmp_path, capsys):
    assert generate(model, "--prompts", prompts, "-o", tmp_path / "out.jsonl", *FLAGS) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out.jsonl'}\n"
    rows = rows_of(tmp_path / "out.jsonl")
    opened, tokenizer = load(model)
    assert tokenizer is not None
    expected = complete(opened, tokenizer, PROMPTS, SETTINGS)
    assert [(row["index"], row["candidate"]) for row in rows] == [(p, c) for p in range(7) for c in range(3)]
    assert [row["prompt"] for row in rows] == [text for text in PROMPTS for _ in range(3)]
    assert [row["completion"] for row in rows] == [each.text for each in expected]
    assert [(row["tokens"], row["reason"]) for row in rows] == [(len(each.ids), each.reason) for each in expected]
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == ["out.jsonl"]


def test_rows_of_tasks_keep_their_task_and_log_probabilities_stand_beside_tokens(model, tmp_path):
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text('{"task_id": "HumanEval/0", "prompt": "def f("}\n{"prompt": "x", "other": 1}\n')
    assert generate(model, "--prompts", tasks, "-o", tmp_path / "out.jsonl", "--logprobs", 2) == 0
    first, second = rows_of(tmp_path / "out.jsonl")
    assert first["task_id"] == "HumanEval/0" and "task_id" not in second
    assert len(first["logprobs"]) == first["tokens"]
    for token in first["logprobs"]:
        assert len(token["top"]) == 2
        assert (
            token["top"][0]["logprob"]
            >= token["logprob"]
            == max([each["logprob"] for each in token["top"] if each["id"] == token["id"]] or [token["logprob"]])
        )


@pytest.mark.parametrize("stops", [[0], [5], [7, 2, 10]])
def test_whoever_is_stopped_goes_on_and_the_file_is_the_same_to_the_byte(model, prompts, tmp_path, monkeypatch, stops):
    flags = [*FLAGS, "--rows", 1, "--logprobs", 1]
    assert generate(model, "--prompts", prompts, "-o", tmp_path / "whole.jsonl", *flags) == 0
    made = list[Any]()

    def stopping(*given: Any, most: int) -> Any:
        for each in completions(*given):
            if len(made) >= most:
                raise KeyboardInterrupt
            made.append(each)
            yield each

    for most in stops:
        made.clear()
        monkeypatch.setattr(rows_file, "completions", partial(stopping, most=most))
        assert generate(model, "--prompts", prompts, "-o", tmp_path / "out.jsonl", *flags) == 130
        assert not (tmp_path / "out.jsonl").exists()
    kept = len(rows_of(tmp_path / "out.jsonl.part")) - 1
    assert kept == sum(most // 3 * 3 for most in stops)
    made.clear()
    monkeypatch.setattr(rows_file, "completions", partial(stopping, most=100))
    assert generate(model, "--prompts", prompts, "-o", tmp_path / "out.jsonl", *flags) == 0
    assert len(made) == 21 - kept
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_a_file_cut_anywhere_is_mended(model, prompts, tmp_path, monkeypatch):
    flags = [*FLAGS, "--rows", 1]
    whole, out, part = (tmp_path / name for name in ("whole.jsonl", "out.jsonl", "out.jsonl.part"))
    assert generate(model, "--prompts", prompts, "-o", whole, *flags) == 0
    monkeypatch.setattr(rows_file, "atomic_file", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
    assert generate(model, "--prompts", prompts, "-o", out, *flags) == 130  # all is there but the last renaming
    monkeypatch.undo()
    data = part.read_bytes()
    for size in (len(data), len(data) - 1, len(data) // 2, data.index(b"\n") + 1, 20, 0):
        part.write_bytes(data[:size])
        assert generate(model, "--prompts", prompts, "-o", out, *flags) == 0
        assert out.read_bytes() == whole.read_bytes()
        out.unlink()


def test_a_part_that_is_something_else_is_left_as_it_is(model, prompts, tmp_path, capsys):
    for held in (b"notes of mine", b'{"format": 1, "mine": 2'):
        (tmp_path / "out.jsonl.part").write_bytes(held)
        assert generate(model, "--prompts", prompts, "-o", tmp_path / "out.jsonl") == 2
        assert "holds completions of another model" in capsys.readouterr().err
        assert (tmp_path / "out.jsonl.part").read_bytes() == held


def test_what_another_command_began_is_not_gone_on_with(model, prompts, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out.jsonl"
    monkeypatch.setattr(rows_file, "atomic_file", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
    assert generate(model, "--prompts", prompts, "-o", out, *FLAGS) == 130
    assert generate(model, "--prompts", prompts, "-o", out, *FLAGS, "--seed", 2) == 2
    assert "holds completions of another model, other prompts or other settings" in capsys.readouterr().err
    monkeypatch.undo()
    assert generate(model, "--prompts", prompts, "-o", out, *FLAGS) == 0
    assert generate(model, "--prompts", prompts, "-o", out, *FLAGS) == 2
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [[], ["--stop", "é", "--stop", "x"], ["--until", "block"], ["--temperature", "1"]])
def test_a_streamed_completion_is_printed_as_it_is_without(model, capsys, flags):
    assert generate(model, "köy ", *flags) == 0
    whole = capsys.readouterr().out
    assert generate(model, "köy ", "--stream", *flags) == 0
    assert capsys.readouterr().out == whole


@pytest.mark.parametrize("flags", [[], ["--stop", "é", "--stop", "x"], ["--until", "block"]])
def test_a_text_with_a_draft_is_the_one_without_streamed_or_not(model, drafts, capsys, flags):
    assert generate(model, "köy ", *flags) == 0
    whole = capsys.readouterr().out
    assert generate(model, "köy ", "--draft", drafts["near"], *flags) == 0
    told = capsys.readouterr()
    assert told.out == whole and "tokens that it guessed were taken" in told.err
    assert generate(model, "köy ", "--draft", drafts["near"], "--stream", *flags) == 0
    assert capsys.readouterr().out == whole


def test_a_sample_with_a_draft_is_the_same_in_a_file_an_answer_and_a_stream(model, drafts, prompts, tmp_path, capsys):
    flags = ["--draft", drafts["near"], "--temperature", 1, "--max-new-tokens", 12]
    assert generate(model, "--prompts", prompts, "-o", tmp_path / "out.jsonl", "--rows", 2, *flags) == 0
    rows = rows_of(tmp_path / "out.jsonl")
    capsys.readouterr()
    assert generate(model, *PROMPTS, *flags, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["draft"] == str(drafts["near"])
    assert [each["completion"] for each in answer["candidates"]] == [row["completion"] for row in rows]
    assert sum(row["accepted"] for row in rows) < sum(row["guessed"] for row in rows)
    assert generate(model, PROMPTS[0], *flags, "--stream") == 0
    assert capsys.readouterr().out == PROMPTS[0] + rows[0]["completion"] + "\n"
    opened, near = load(model), load(drafts["near"])
    assert opened[1] is not None
    given: dict[str, Any] = {"temperature": 1.0, "max_new_tokens": 12}
    assert tezgah_generate(opened[0], opened[1], PROMPTS[0], draft=near, **given) == [
        PROMPTS[0] + rows[0]["completion"]
    ]


def test_a_draft_of_another_tokenizer_is_refused(model, drafts, capsys):
    assert generate(model, "a", "--draft", drafts["other"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"tezgah: {drafts['other']}: its tokenizer is not the model's") and said.count("\n") == 1


def test_an_answer_with_json_names_settings_candidates_and_echoed_prompts(model, capsys):
    assert generate(model, "ab", "c", "--json", "--logprobs", 1, "--echo", "--max-new-tokens", 2) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [each["text"][:1] for each in answer["candidates"]] == ["a", "c"]
    assert [len(each["logprobs"]) for each in answer["candidates"]] == [2, 2]
    assert [[token["token"] for token in each["logprobs"]] for each in answer["prompts"]] == [["a", "b"], ["c"]]
    assert answer["logprobs"] == 1 and answer["stop"] == [] and answer["seed"] == 1


REFUSED: dict[str, str] = {
    "": "`generate` needs PROMPT. Or give --prompts FILE.",
    "a --prompts f": "give PROMPT or --prompts FILE, not both.",
    "a b --stream": "--stream prints one completion of one PROMPT",
    "a --stream -n 2": "--stream prints one completion of one PROMPT",
    "a --echo": "--echo adds the prompts' tokens to --logprobs K with --json.",
    "a --temperature -1": "--temperature must be a number, 0 or more, not -1",
    "a --top-p 1.1": "--top-p must be a number from 0 to 1, not 1.1",
    "a --top-p 0": "top_p is 0.0; give a probability above 0",
    "a --repetition-penalty 0": "--repetition-penalty must be a number above 0",
    "a --stop=": "a stop is empty",
    "a --num-beams 2 -n 3": "n is 3, and 2 beams have no more to give. Raise num_beams.",
    "a --num-beams 2 --temperature 1": "temperature is 1.0; beam search takes 0 only.",
    "a --draft d --num-beams 2": "a draft goes with neither num_beams, lookup nor int8.",
    "a --draft d --lookup 2": "a draft goes with neither num_beams, lookup nor int8.",
    "a --draft d": "d: ",
    "a --max-seconds 0": "--max-seconds must be a number above 0",
    "a --beam-groups 2 --diversity-penalty 1": "beam_groups and diversity_penalty are of beam search.",
    "a --num-beams 3 --beam-groups 2 --diversity-penalty 1": "3 beams make no 2 groups of one size.",
    "a --num-beams 4 --beam-groups 2": "beam_groups is 2 and diversity_penalty 0.0: groups differ by the penalty",
    "--prompts nowhere.txt": "nowhere.txt: cannot be read",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_makes_no_sense_is_refused_in_one_line(model, capsys, words):
    assert generate(model, *words.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"tezgah: {REFUSED[words]}") and said.count("\n") == 1


def test_prompts_that_cannot_be_completed_are_named_by_their_line(model, tmp_path, capsys):
    path, rows = tmp_path / "prompts.txt", tmp_path / "prompts.jsonl"
    out = tmp_path / "out.jsonl"
    for file, text, said in [
        (path, "a\n\nb\n", f"{path}:2: the prompt is empty."),
        (path, "", f"{path}: has no prompts."),
        (path, "a\n" + "b" * 65, f"{path}:2: the prompt has 65 tokens, the model sees 64 at once."),
        (rows, '{"prompt": "a"}\n{"text": "b"}\n', f'{rows}:2: no row with a "prompt"'),
        (rows, '{"prompt": "a"}\n{"prompt"\n', f'{rows}:2: no row with a "prompt"'),
        (rows, '{"prompt": ""}\n', f"{rows}:1: the prompt is empty."),
    ]:
        file.write_text(text)
        assert generate(model, "--prompts", file, "-o", out, "--overlong", "refuse") == 2
        said_here = capsys.readouterr().err
        assert said_here.startswith(f"tezgah: {said}") and said_here.count("\n") == 1
    path.write_bytes(b"a\nb\xff\n")
    assert generate(model, "--prompts", path) == 2
    assert f"{path}:2: is no UTF-8" in capsys.readouterr().err
    assert generate(model, "") == 2
    assert "PROMPT 1: the prompt is empty." in capsys.readouterr().err
    assert not out.exists()


def test_code_is_completed_at_a_place_in_a_file(model, tmp_path, capsys):
    code = tmp_path / "code.py"
    code.write_text("x = 1\ndef f(a):\n    return a\n", encoding="utf-8")
    opened, tokenizer = load(model)
    assert tokenizer is not None
    for place, prompt in [
        ("2", "x = 1\ndef f(a):"),
        ("2:4", "x = 1\ndef"),
        ("1:6", "x = 1"),
        ("4", "x = 1\ndef f(a):\n    return a\n"),
    ]:
        assert cli.main(["complete", str(model), f"{code}:{place}", "--max-new-tokens", "7"]) == 0
        (expected,) = complete(opened, tokenizer, [prompt], make_settings({"until": "block", "max_new_tokens": 7}))
        assert capsys.readouterr().out == expected.text + "\n"
    assert cli.main(["complete", str(model), f"{code}:3", "--json", "-n", "2", "--temperature", "1"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["candidates"]) == 2 and not answer["is_infilled"] and answer["until"] == "block"


@pytest.mark.parametrize("flags", [[], ["--past-block"], ["--stop", "x"], ["--overlong", "refuse"]])
def test_code_with_a_draft_is_the_code_without(model, drafts, tmp_path, capsys, flags):
    code = tmp_path / "code.py"
    code.write_text("x = 1\ndef f(a):\n    return a\n", encoding="utf-8")
    words = ["complete", str(model), f"{code}:2", "--max-new-tokens", "20", *flags]
    assert cli.main(words) == 0
    whole = capsys.readouterr().out
    assert cli.main([*words, "--draft", str(drafts["near"])]) == 0
    told = capsys.readouterr()
    assert told.out == whole and "tokens that it guessed were taken" in told.err
    assert cli.main([*words, "--draft", str(model), "--logprobs", "1", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    (found,) = answer["candidates"]
    assert answer["draft"] == str(model) and found["completion"] + "\n" == whole
    assert 0 < found["accepted"] == found["guessed"] and len(found["logprobs"]) == found["tokens"]


def test_a_tokenizer_with_more_ids_than_the_model_has_rows_is_refused(model, tmp_path, capsys):
    tokenizer = Tokenizer.load(model)
    save_model(new_model(100, n_layers=1, width=32, n_heads=2), tmp_path, separator_id=tokenizer.separator_id)
    tokenizer.save(tmp_path)
    for verb in ("generate", "likelihood"):
        assert cli.main([verb, str(tmp_path), "köy"]) == 2
        told = capsys.readouterr().err
        assert "its tokenizer has 257 ids, its model 100 rows" in told and told.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--draft d --num-beams 2", "a draft goes with neither num_beams, lookup nor int8."),
        ("--draft d --int8", "a draft goes with neither num_beams, lookup nor int8."),
        ("--draft d", "d: "),
        ("--draft OTHER", "OTHER: its tokenizer is not the model's"),
        ("--logprobs 2", "--logprobs are told with --json. Give it, too."),
        ("--overlong refuse", "61 tokens are to be read, and 32 fit beside those to be generated."),
    ],
)
def test_code_is_completed_with_no_flag_that_makes_no_sense(model, drafts, tmp_path, capsys, words, said):
    code = tmp_path / "code.py"
    code.write_text("x = 1  # " + "a" * 52)
    given = words.replace("OTHER", str(drafts["other"])).split()
    assert cli.main(["complete", str(model), f"{code}:1", *given]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"tezgah: {said.replace('OTHER', str(drafts['other']))}") and told.count("\n") == 1


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("nowhere.py:1", "nowhere.py: cannot be read"),
        ("{}", "is no place in a file"),
        ("{}:0", "has 2 lines, and no line 0"),
        ("{}:9", "has 2 lines, and no line 9"),
        ("{}:" + "9" * 5000, "is no place in a file"),
        ("{}:1:8", ":1: has 5 characters, and no column 8"),
        ("{}:1:1", "nothing stands before the place"),
    ],
)
def test_places_that_are_none_are_refused_in_one_line(model, tmp_path, capsys, place, said):
    code = tmp_path / "code.py"
    code.write_text("x = 1\n")
    assert cli.main(["complete", str(model), place.format(code)]) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1
