"""`tezgah curves`: one page of several runs, where they cross in words, and what it says of bad input."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from tests.pages import Page, check_stands_alone
from tests.training.conftest import RECIPE, metrics, write_run
from tezgah import cli
from tezgah.curves_page import curves_page
from tezgah.curves_table import Comparison, compare, text, value
from tezgah.training.compared import names, read_compared

SMALL, LARGE = (20.0, 0.10, 10_000.0), (40.0, 0.15, 2_000.0)  # loss = first × tokens ^ -second; tokens a second
HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(1)> $name ${keys}"

MakeRun = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeRun:
    """Makes runs whose curves are power laws, in the folder that the verb is called from."""
    monkeypatch.chdir(tmp_path)

    def make(
        name: str, law: tuple[float, float, float] = SMALL, width: int = 256, tokenizer: str = "{}", readings: int = 240
    ) -> Path:
        scale, fall, speed = law
        rows: list[dict[str, Any]] = [
            {"step": 0, "tokens": 0, "seconds": 1.0, "validation_loss": 9.0, "bits_per_byte": 3.6}
        ]
        for step, tokens in enumerate(np.geomspace(1e3, 1e10, readings).tolist(), start=1):
            loss = scale * tokens**-fall
            rows.append(
                {
                    "step": step,
                    "tokens": round(tokens),
                    "epoch": tokens / 1e6,
                    "seconds": tokens / speed,
                    "loss": loss + math.sin(step) / 10,
                    "tokens_per_second": speed,
                    "validation_loss": loss,
                    "bits_per_byte": loss / math.log(2) / 3.6,
                }
            )
        run = write_run(tmp_path / name, rows)
        (run / "recipe.toml").write_text(RECIPE.replace("width = 256", f"width = {width}"))
        (run / "tokenizer" / "tokenizer.json").write_text(tokenizer)
        return run

    return make


def compared(*runs: Path) -> Comparison:
    return compare(read_compared(runs, lambda run: False))


def answer(*runs: Path) -> Any:
    """What `--json` prints."""
    text = json.dumps(value(compared(*runs)))
    return json.loads(text, parse_constant=lambda name: pytest.fail(name))


def told(*words: str | Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["curves", *map(str, words)]) == 0
    return capsys.readouterr().out


def test_crossings_are_where_the_laws_of_the_curves_say(make: MakeRun) -> None:
    found = answer(make("small"), make("large", LARGE, width=512))
    small, large = found["runs"]["small"]["flops_per_token"], found["runs"]["large"]["flops_per_token"]
    assert small < large
    expected = {
        "tokens": 2.0 ** (1 / 0.05),
        "time": (2 * SMALL[2] ** 0.10 / LARGE[2] ** 0.15) ** (1 / 0.05),
        "FLOPs": (2 * large**0.15 / small**0.10) ** (1 / 0.05),
    }
    assert found["measure"] == "validation_loss"
    for each in found["crossings"]:
        assert each["runs"] == ["small", "large"]
        (crossing,) = each["crossings"]
        assert crossing["at"] == pytest.approx(expected[each["over"]], rel=0.02)
        assert crossing["below_from_here"] == "large"
        assert each["from"] < crossing["at"] < each["to"]
    at_tokens = found["crossings"][0]["crossings"][0]["validation_loss"]
    assert at_tokens == pytest.approx(20 * expected["tokens"] ** -0.1, rel=1e-3)


def test_the_terminal_the_page_and_the_object_say_the_same(make: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    runs = make("small"), make("large", LARGE, width=512)
    said = told(*runs, capsys=capsys)
    found = json.loads(told(*runs, "--json", capsys=capsys))
    page = Page(Path("curves.html").read_text())
    assert re.search(r"over tokens  large is below small from 1\.05M tokens on \(5\.\d+ nats per token\)", said)
    for each in found["crossings"]:
        assert each["words"] in said
        assert each["words"] in page.text
    assert "Settings that differ: model.width.\n" in said
    assert said.endswith("page     curves.html\npicture  curves.png\n")
    assert (found["page"], found["picture"]) == ("curves.html", "curves.png")
    assert max(map(len, said.splitlines())) <= 120


def test_the_page_stands_alone_and_its_picture_lies_beside_it(
    make: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [make(name, (20, 0.1 + number / 100, 1e4)) for number, name in enumerate("abcdefgh")]
    told(*runs, "-o", "made/of.eight.html", capsys=capsys)
    source = Path("made/of.eight.html").read_text()
    check_stands_alone(source)
    assert source.count("<figure>") == 2 * 2 * 3  # scales, measures, axes
    assert imread("made/of.eight.png").shape[1] == 13 * 160
    first = [Path(f"made/of.eight.{kind}").read_bytes() for kind in ("html", "png")]
    told(*runs, "-o", "made/of.eight.html", capsys=capsys)
    assert [Path(f"made/of.eight.{kind}").read_bytes() for kind in ("html", "png")] == first


@pytest.mark.parametrize(("name", "first"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.PDF", b"%PDF")])
def test_a_picture_alone_is_of_the_kind_that_its_name_says(
    make: MakeRun, capsys: pytest.CaptureFixture[str], name: str, first: bytes
) -> None:
    said = told(make("small"), make("large", LARGE), "-o", name, capsys=capsys)
    assert Path(name).read_bytes().startswith(first)
    assert said.endswith(f"\npicture  {name}\n")
    assert "page" not in said
    assert not Path("curves.html").exists()


def test_only_settings_that_differ_are_listed(make: MakeRun) -> None:
    runs = make("small"), make("large", LARGE, width=512)
    recipe = (runs[0] / "recipe.toml").read_text()
    (runs[0] / "recipe.toml").write_text(recipe.replace("minutes = 6", "steps = 40\noptimizer = 'adamw'"))
    found = answer(*runs)["settings"]
    assert found == {
        "model.width": {"small": 256, "large": 512},
        "train.steps": {"small": 40, "large": None},
        "train.minutes": {"small": None, "large": 6},
        "train.optimizer": {"small": "adamw", "large": None},
    }
    page = Page(curves_page(compared(*runs))).text
    assert "model.width256512" in page
    assert "batch_size" not in page


def test_runs_with_different_tokenizers_are_compared_by_bits_per_byte(make: MakeRun) -> None:
    runs = make("small"), make("large", LARGE, tokenizer='{"other": 1}')
    found = answer(*runs)
    assert found["measure"] == "bits_per_byte"
    assert "different tokenizers" in found["reason"]
    assert "bits per byte" in found["crossings"][0]["words"]
    assert found["reason"] in text(compared(*runs))
    assert found["reason"] in Page(curves_page(compared(*runs))).text


def fills_masks(run: Path) -> Path:
    """The run as one whose readings are of masks: an accuracy that rises as the loss falls, and no bits per byte."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        if row.pop("bits_per_byte", None) is not None:
            row["masked_accuracy"] = math.exp(-row["validation_loss"])
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run


def test_runs_that_fill_masks_are_compared_by_loss_and_show_their_accuracy(make: MakeRun) -> None:
    runs = [fills_masks(make("small")), fills_masks(make("large", LARGE, 512))]
    found = answer(*runs)
    assert (found["measure"], found["notes"]) == ("validation_loss", [])
    assert found["runs"]["small"]["best_masked_accuracy"] == pytest.approx(math.exp(-20 * 1e10**-0.1))
    assert found["runs"]["small"]["best_bits_per_byte"] is None
    head, *_ = text(compared(*runs)).splitlines()
    assert "masked accuracy" in head and "bits/byte" not in head
    page = curves_page(compared(*runs))
    assert "Masked accuracy over tokens" in page and "Bits per byte over tokens" not in page


def test_masks_filled_and_texts_gone_on_with_are_not_compared(make: MakeRun) -> None:
    found = answer(fills_masks(make("small")), make("large", LARGE, 512))
    assert "some fill masks and some do not" in found["reason"]
    assert {each["words"] for each in found["crossings"]} == {"not known: no reading of small to compare"}


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [("batch_size = 8", "batch_size = 4", "train.batch_size"), ("minutes = 6", "minutes = 6\nseed = 2", "train.seed")],
)
def test_losses_of_different_samples_are_not_compared(make: MakeRun, old: str, new: str, reason: str) -> None:
    runs = make("small"), make("large", LARGE)
    (runs[1] / "recipe.toml").write_text(RECIPE.replace(old, new))
    found = answer(*runs)
    assert found["measure"] == "bits_per_byte"
    assert reason in found["reason"]


def test_other_held_out_text_is_warned_of(make: MakeRun) -> None:
    runs = make("small"), make("large", LARGE)
    assert answer(*runs)["notes"] == []
    (runs[1] / "recipe.toml").write_text(RECIPE.replace("stdlib", "elsewhere"))
    (note,) = answer(*runs)["notes"]
    assert "different held-out texts" in note
    assert note in Page(curves_page(compared(*runs))).text


@pytest.mark.parametrize(
    ("absent", "says"),
    [
        ("evaluation.json", "large: evaluation.json is not there"),
        ("recipe.toml", "large: recipe.toml is not there"),
        ("tokenizer/measures.json", "large: neither its settings nor a config.json tell its model"),
        ("tokenizer/tokenizer.json", "a run does not hold its tokenizer"),
    ],
)
def test_what_is_not_there_is_named_and_the_page_is_made(make: MakeRun, absent: str, says: str) -> None:
    runs = make("small"), make("large", LARGE)
    (runs[1] / absent).unlink()
    assert says in text(compared(*runs))


def test_a_run_that_still_trains_lies_beside_a_finished_one(make: MakeRun) -> None:
    done, begun = make("done"), make("begun", LARGE)
    lines = (begun / "metrics.jsonl").read_text().splitlines(keepends=True)
    (begun / "metrics.jsonl").write_text("".join(lines[:30]) + '{"step": 31, "lo')
    found = answer(done, begun)
    assert found["runs"]["begun"]["step"] == 29
    assert found["crossings"][0]["to"] == found["runs"]["begun"]["tokens"]
    (begun / "metrics.jsonl").write_text(lines[0])  # only the reading before the first step
    found = answer(done, begun)
    assert {each["words"] for each in found["crossings"]} == {"not known: no reading of begun to compare"}


def test_runs_without_a_common_stretch_say_so(make: MakeRun) -> None:
    runs = [make("early"), make("late")]
    lines = [(run / "metrics.jsonl").read_text().splitlines(keepends=True) for run in runs]
    (runs[0] / "metrics.jsonl").write_text("".join(lines[0][:30]))
    (runs[1] / "metrics.jsonl").write_text("".join(lines[1][:1] + lines[1][60:]))
    words = answer(*reversed(runs))["crossings"][0]["words"]
    assert re.fullmatch(r"not known: early ends at \S+ tokens, late is first read at \S+ tokens", words)


def test_a_run_that_diverged_or_took_no_steps_is_shown(make: MakeRun) -> None:
    run = make("diverged")
    with open(run / "metrics.jsonl", "a") as file:
        file.write('{"step": 241, "tokens": 20000000000, "seconds": 3e6, "loss": NaN, "validation_loss": Infinity}\n')
    found = answer(run)
    assert found["runs"]["diverged"]["validation_loss"] == found["runs"]["diverged"]["best_validation_loss"]
    assert found["crossings"] == []
    row = '{"step": 0, "validation_loss": 9.0, "bits_per_byte": 3.0}\n'
    (run / "metrics.jsonl").write_text(row)
    check_stands_alone(curves_page(compared(run)))


def test_hostile_text_stays_text(make: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [make(name) for name in ("<b onclick=x>run", "_a$b$c&amp;", "two\nlines", "x" * 200)]
    for run in runs:
        (run / "recipe.toml").write_text(f"[corpus]\nsource = {json.dumps(HOSTILE + run.name)}\n")
    said = told(*runs, capsys=capsys)
    source = Path("curves.html").read_text()
    check_stands_alone(source)
    page = Page(source)
    assert {"script", "img", "b"}.isdisjoint(tag for tag, _ in page.tags)
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    for shown in ("<b onclick=x>run", "_a$b$c&amp;", r"two\nlines", "alert(1)"):
        assert shown in page.text
    assert "two\n" not in said


def test_runs_of_one_name_are_told_apart(make: MakeRun) -> None:
    runs = [make("a/run"), make("b/run", LARGE)]
    found = answer(Path("a/run"), Path("b/run"))
    assert list(found["runs"]) == ["a/run", "b/run"]
    assert len(set(names(runs))) == 2


def test_twenty_runs_make_one_page_of_moderate_size(make: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [make(f"run-{number}", (20, 0.1 + number / 200, 1e4), readings=40) for number in range(20)]
    said = told(*runs, capsys=capsys)
    assert "And 180 pairs more" in said
    assert Path("curves.html").stat().st_size < 3_000_000
    assert "run-0, run-19" in Page(Path("curves.html").read_text()).text
    assert len({line.split()[0] for line in said.splitlines()[1:21]}) == 20


def test_what_cannot_be_drawn_is_one_clear_line(
    make: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, empty = make("run"), make("empty")
    without = metrics(20, readings=0)[1:-1]
    (empty / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in without))
    (tmp_path / "folder").mkdir()
    for command, message in (
        (["run", "folder"], "folder: holds neither recipe.toml nor metrics.jsonl. Give the folder of a run."),
        (["run", "empty"], "empty: metrics.jsonl holds no reading yet."),
        (["run", "empty/../run"], "empty/../run: the same run as run. Give each run once."),
        (["run"] * 21, "21 runs are too many for a page. Give at most 20."),
        (["run", "-o", "a.jpg"], "a.jpg: curves are a page, .html, or a picture"),
        (["run", "-o", "run/recipe.toml/a.html"], "run/recipe.toml/a.png: cannot be written"),
    ):
        assert cli.main(["curves", *command]) == 2
        out, err = capsys.readouterr()
        assert err.startswith(f"tezgah: {message}")
        assert (err.count("\n"), out) == (1, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "folder", "run"]
    assert run.is_dir()
