import json
import re

import pytest
from matplotlib.image import imread

from tests.pages import Page, check_stands_alone
from tezgah.errors import InputError
from tezgah.training.curves import run_figure
from tezgah.training.figures import figure_of
from tezgah.training.plots import bits_panel, gradient_panel, loss_panel, perplexity_panel, rate_panel, throughput_panel
from tezgah.training.record import read_record
from tezgah.training.report import write_report

HOSTILE = "</pre><script>alert(1)</script><img src=x onerror=alert(1)>&lt; $name ${keys} \x1b[31m \0 \ud800 `"


def page_of(run):
    write_report(run)
    return Page((run / "report.html").read_text(encoding="utf-8"))


def change(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def append(path, row):
    with open(path, "a") as file:
        file.write(json.dumps(row) + "\n")


def test_the_page_asks_for_nothing_its_parts_find_one_another_and_its_colours_are_defined(run):
    write_report(run)
    check_stands_alone((run / "report.html").read_text())


def test_the_page_shows_the_figures_of_the_run(run):
    text = page_of(run).text
    for shown in ("9,015,296", "614,400", "6.0 minutes", "29.7", "1.347", "1.508", "1.912", "1.091", "3.607"):
        assert shown in text
    assert "def area_of_rectangle(width, height):" in text
    assert "encodings/cp437.py" in text
    assert "no compiler was found" in text
    assert 'source = "stdlib"' in text
    assert "is not there" not in text


def test_the_page_says_when_the_curve_falls_below_xz_or_that_it_does_not(run):
    assert re.search(r"falls below xz -9e of the same bytes \(1\.508\) at minute 2\.\d", page_of(run).text)
    change(run / "evaluation.json", reading_baselines={"gzip": 2.1, "xz": 1.75})
    assert re.search(r"falls below xz -9e of the same bytes \(1\.750\) at minute [01]\.\d", page_of(run).text)
    change(run / "evaluation.json", reading_baselines={"gzip": 1.5, "xz": 0.5})
    assert "did not fall below xz -9e: its lowest reading is 1.34" in page_of(run).text


@pytest.mark.parametrize("against", ["tokens", "epochs", "time", "log-log"])
def test_every_plot_has_units_on_both_axes_and_a_legend(run, against):
    record = read_record(run)
    panels = [loss_panel(record.rows, against), perplexity_panel(record.rows, against)]
    if against == "time":
        panels += [bits_panel(record.rows, record.baselines), throughput_panel(record.rows)]
        panels += [rate_panel(record.rows), gradient_panel(record.rows, 1.0)]
    for panel in panels:
        figure = figure_of([panel], 5, 3, legend="shared")
        (axes,) = figure.axes
        assert "(" in axes.get_xlabel()
        assert "(" in axes.get_ylabel()
        named = [str(line.get_label()) for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
        assert named
        assert [text.get_text() for text in figure.legends[0].get_texts()] == named
        assert axes.get_xscale() == ("log" if against == "log-log" else "linear")


def test_curves_png_is_a_picture_two_panels_wide(run):
    write_report(run)
    height, width, _ = imread(run / "curves.png").shape
    assert (width, height) == (1760, 640)


def test_the_same_files_give_the_same_bytes(run):
    write_report(run)
    first = [(run / name).read_bytes() for name in ("report.html", "curves.png")]
    write_report(run)
    assert [(run / name).read_bytes() for name in ("report.html", "curves.png")] == first


def test_hostile_text_stays_text(make_run):
    run = make_run("<b onclick=x>run")
    sample = {"prompt": HOSTILE, "text": HOSTILE + HOSTILE}
    append(run / "metrics.jsonl", {"step": 301, "tokens": 1, "seconds": 400, "samples": [sample]})
    append(run / "log.jsonl", {"event": "warning", "message": HOSTILE, "time": HOSTILE})
    plain = HOSTILE.replace("\ud800", "")
    (run / "corpus" / "card.md").write_text(f"# {plain}\n\n| a |\n| --- |\n| {plain} |\n\n- {plain}\n\n{plain}\n")
    (run / "recipe.toml").write_text("# </pre><script>\n" + (run / "recipe.toml").read_text())
    change(run / "tokenizer" / "measures.json", longest_tokens=[HOSTILE], **{"<script>": "<script>"})
    page = page_of(run)
    assert {"script", "img"}.isdisjoint(tag for tag, _ in page.tags)
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert page.text.count("<script>alert(1)</script><img src=x onerror=alert(1)>") >= 7
    assert "&lt; $name ${keys} ␛[31m ␀ ? `" in page.text


def test_the_prompt_stands_out_whether_or_not_the_text_repeats_it(run):
    samples = [{"prompt": "Every", "text": "Every effort"}, {"prompt": "Every", "text": " day"}]
    append(run / "metrics.jsonl", {"step": 301, "tokens": 1, "seconds": 400, "samples": samples})
    write_report(run)
    source = (run / "report.html").read_text()
    assert "<pre><b>Every</b> effort</pre><pre><b>Every</b> day</pre>" in source


def test_filled_prompts_stand_in_a_table_before_and_after(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    before = [{"prompt": "Bir [MASK].", "text": "Bir <bu>."}, {"prompt": "[MASK] sever", "text": "ve sever"}]
    after = [{"prompt": "Bir [MASK].", "text": "Bir kedi."}, {"prompt": "[MASK] sever", "text": "Kediler sever"}]
    for line in lines:
        line.pop("samples", None)
    lines[0] |= {"masked_accuracy": 0.01, "samples": before}
    lines[-1] |= {"masked_accuracy": 0.4, "samples": after}
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_report(run)
    source = (run / "report.html").read_text()
    assert f"<th>prompt</th><th>before training</th><th>after {lines[-1]['step']:,} steps</th>" in source
    assert "<tr><td>Bir [MASK].</td><td>Bir &lt;bu&gt;.</td><td>Bir kedi.</td></tr>" in source
    assert "<tr><td>[MASK] sever</td><td>ve sever</td><td>Kediler sever</td></tr>" in source
    assert "<pre>Kediler sever</pre>" in source
    assert "masks filled" in run_figure(read_record(run)).axes[1].get_ylabel()


@pytest.mark.parametrize(
    ("absent", "says"),
    [
        ("evaluation.json", "compressors have not been measured. The figures are those of the last reading"),
        ("recipe.toml", "recipe.toml is not there"),
        ("corpus/card.md", "corpus/card.md is not there"),
        ("tokenizer/measures.json", "tokenizer/measures.json is not there"),
        ("versions.json", "versions.json is not there"),
        ("metrics.jsonl", "Training has not begun"),
    ],
)
def test_a_file_that_is_not_there_yet_is_named(run, absent, says):
    assert read_record(run).missing == []
    (run / absent).unlink()
    (sentence,) = read_record(run).missing
    assert says in sentence


def test_a_run_that_has_only_begun_to_train_has_a_report(run):
    for absent in ("evaluation.json", "corpus/card.md", "tokenizer/measures.json", "versions.json", "log.jsonl"):
        (run / absent).unlink()
    text = page_of(run).text
    assert "evaluation.json is not there yet" in text
    assert "corpus/card.md is not there" in text


def test_a_run_before_training_has_a_report_and_no_curves(run):
    (run / "metrics.jsonl").unlink()
    (run / "evaluation.json").unlink()
    text = page_of(run).text
    assert "Training has not begun" in text
    assert "encodings/cp437.py" in text
    assert not (run / "curves.png").exists()


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_a_run_of_few_rows_has_a_report(run, rows):
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[:rows]))
    (run / "evaluation.json").unlink()
    assert "evaluation.json is not there yet" in page_of(run).text


def test_a_run_without_a_reading_says_so(make_run):
    run = make_run(readings=0)
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(line for line in lines if "validation_loss" not in line))
    (run / "evaluation.json").unlink()
    text = page_of(run).text
    assert "No reading was taken yet" in text
    assert "Bits per byte" not in re.sub("Bits per byte–", "", text)


def test_a_run_that_diverged_has_a_report(run):
    append(
        run / "metrics.jsonl", {"step": 301, "loss": float("nan"), "grad_norm": float("inf"), "validation_loss": 900}
    )
    assert "900.0" in page_of(run).text


def test_a_long_run_makes_a_page_of_moderate_size_and_says_how(make_run):
    run = make_run(steps=12_000)
    assert "longer than 5,000 points the lowest and the highest of each equal stretch are drawn" in page_of(run).text
    assert (run / "report.html").stat().st_size < 1_500_000


@pytest.mark.parametrize(
    ("file", "content", "names"),
    [
        ("metrics.jsonl", '{"step": 0}\n{"ste\n{"step": 2}\n', "metrics.jsonl: line 2"),
        ("metrics.jsonl", '{"step": "one"}\n', "metrics.jsonl"),
        ("metrics.jsonl", "[1]\n", "metrics.jsonl"),
        ("evaluation.json", '{"loss": 3}', "evaluation.json"),
        ("evaluation.json", "{", "evaluation.json"),
        ("tokenizer/measures.json", "[]", "measures.json"),
        ("recipe.toml", "[model", "recipe.toml"),
        ("recipe.toml", "[model]\nwidht = 2", "recipe.toml"),
    ],
)
def test_a_damaged_file_is_one_clear_line_and_the_earlier_report_stays(run, file, content, names):
    (run / "report.html").write_text("earlier")
    (run / file).write_text(content)
    with pytest.raises(InputError, match=re.escape(names)) as caught:
        write_report(run)
    assert "\n" not in str(caught.value)
    assert (run / "report.html").read_text() == "earlier"


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds neither"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []
