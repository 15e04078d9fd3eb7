"""A run over sources in shares of their own: what it says and leaves, and that a kill leaves no trace in the bits."""

import gzip
import json
from pathlib import Path

import pytest

from tests.test_stream_run import RECIPE, check_same_run, end, kill_at, rows, start


@pytest.fixture(scope="module", params=["stored", "stream"])
def recipe(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe whose smaller source has the larger share."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "prose").mkdir()
    for number in range(60):
        (folder / "prose" / f"{number}.txt").write_text(f"Bir gün {number} kedi, kapıdaki fareye güldü. " * 3)
    texts = (f"def area_{number}(a, b):\n\treturn a * b + {number}\n" for number in range(200))
    code = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    (folder / "code.jsonl.gz").write_bytes(gzip.compress(code.encode()))
    prose, code = (json.dumps(str(folder / name)) for name in ("prose", "code.jsonl.gz"))
    corpus = f'[corpus]\nsource = [{prose}, {code}]\nsplit = "hash"\nweights = {{{prose} = 3, {code} = 1}}\n'
    path = folder / "mixed.toml"
    path.write_text(corpus + RECIPE.replace('mode = "stream"', f'mode = "{request.param}"'))
    return path


@pytest.fixture(scope="module")
def whole(recipe: Path) -> tuple[Path, str]:
    """An uninterrupted run, and what it said."""
    return recipe.parent / "whole", end(start(recipe, recipe.parent / "whole", draws=True))


def test_a_run_says_what_each_source_has_had(recipe: Path, whole: tuple[Path, str]) -> None:
    run, said = whole
    prose, code = json.loads((run / "checkpoints" / "sources.json").read_text())["sources"]
    assert (prose["name"], prose["units"], code["units"]) == (f"{recipe.parent}/prose", 3, 1)
    is_stored = (run / "tokens" / "train-00000.npy").exists()
    assert prose["sequences"] == pytest.approx(120, rel=0.3)
    if is_stored:
        assert code["sequences"] == pytest.approx(220, rel=0.3)
        assert rows(run)[-1]["epoch"] == 480 / (prose["sequences"] + code["sequences"])
    else:
        assert code["sequences"] is None  # its stream was not read to its end …
        # … but its small file was, at the first piece: the 120 that were seen are taken for all of it
        assert rows(run)[-1]["epoch"] == pytest.approx(480 / (prose["sequences"] + 120))
    report = (run / "report.html").read_text()
    for source, share, count in ((prose, 75, 360), (code, 25, 120)):
        assert f"{source['name']} {share}.0% of the sequences (wanted {share}.0%)" in said
        epochs = f"{count / source['sequences']:.2f}" if source["sequences"] else "–"
        assert epochs == "–" or f"(wanted {share}.0%), {epochs} epochs of it" in said
        assert f'{share}.00%</td><td class="number">{count}</td><td class="number">{epochs}</td>' in report
    by_source = json.loads((run / "evaluation.json").read_text())["by_source"]
    assert set(by_source) == {prose["name"], code["name"]}


def test_a_kill_leaves_no_trace_in_the_bits(recipe: Path, whole: tuple[Path, str]) -> None:
    killed = recipe.parent / "killed"
    step = kill_at(70, recipe, killed)
    with start(recipe, killed) as process:
        assert f"resuming after step {step} of 120" in end(process)
    check_same_run(killed, whole[0])


def test_other_shares_train_anew_and_make_nothing_else(recipe: Path, whole: tuple[Path, str]) -> None:
    run, _ = whole
    if recipe.parent.name.startswith("stream"):
        pytest.skip("the same in both modes, and each run takes seconds")
    with start(recipe, run, "--corpus.temperature", "1", "--train.steps", "20") as process:
        said = end(process)
    for stage in ("corpus", "tokenizer", "tokens"):
        assert f"{stage}: up to date" in said
    assert (run / "previous" / "1" / "checkpoints" / "sources.json").is_file()
    units = [each["units"] for each in json.loads((run / "checkpoints" / "sources.json").read_text())["sources"]]
    assert units[0] < units[1]
