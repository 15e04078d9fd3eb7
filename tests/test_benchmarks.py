"""The benchmarks run, see what they are to see, and count right; what they measure is measured elsewhere."""

import contextlib
import io
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import checkpoint_pause
import contestants
import corpora
import demo
import measuring
import numpy as np
import parity
import pyarrow.parquet as pq
import pytest
import resume
import shards
import stream_mode
import task
import tokenizer_encoding
import tokenizer_training
import tokenizer_turkish
import topics
import training_step
import two_sizes

import tezgah
from tests.finetuning import tiny
from tezgah import cli
from tezgah.finetuning.data import read_examples
from tezgah.finetuning.settings import FinetuneSettings
from tezgah.models.settings import ModelSettings
from tezgah.nn.norms import RMSNorm
from tezgah.tokenizer.tokenizer import Tokenizer
from tezgah.tokens.shards import TokenStream

TINY: dict[str, Any] = {
    "n_layers": 1,
    "width": 16,
    "n_heads": 2,
    "context_length": 8,
    "batch_size": 2,
    "vocab_size": 64,
}

# nanoGPT's interface around as little as possible.
NANOGPT = """
import types, torch
GPTConfig = types.SimpleNamespace
class GPT(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        print("number of parameters: few")
        self.table = torch.nn.Embedding(config.vocab_size, config.vocab_size)
    def forward(self, x, y):
        logits = self.table(x)
        return logits, torch.nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())
    def configure_optimizers(self, weight_decay, learning_rate, betas, device_type):
        return torch.optim.AdamW(self.parameters(), lr=learning_rate, betas=betas, weight_decay=weight_decay)
"""


@pytest.fixture(scope="module", autouse=True)
def _known_matrix_rate() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in ("loop", "place"):
            patch.setattr(f"tezgah.training.{module}.matrix_rate", lambda place: 1e12)
        yield


@pytest.mark.parametrize(
    "module",
    [
        *(training_step, resume, checkpoint_pause, demo, two_sizes, parity),
        *(tokenizer_training, tokenizer_encoding, stream_mode, shards),
    ],
)
def test_every_script_says_how_it_is_used(module: ModuleType) -> None:
    assert "--results" in module.parser().format_help()


def test_contestants_take_turns_and_are_quiet_between_them(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.py").write_text(NANOGPT)
    (tmp_path / "data").mkdir()
    task.write_data(tmp_path / "data", TINY["vocab_size"], documents=3)
    tiny = task.Task(str(tmp_path / "data"), str(tmp_path), threads=1, compiled=False, **TINY)
    from tezgah.training.place import choose_place
    from tezgah.training.settings import TrainSettings

    place = choose_place(TrainSettings(device="cpu", compile=False, threads=1))
    measured = training_step.measure(["tezgah-default", "nanogpt"], tiny, place, rounds=2, steps=3)
    assert [len(speeds) for speeds in measured["tokens_per_second"].values()] == [2, 2]
    assert all(speed > 0 for speeds in measured["tokens_per_second"].values() for speed in speeds)
    assert all(cores < 0.5 for cores in measured["cpu_while_waiting"].values())
    assert "number of parameters: few" in capfd.readouterr().err  # and was not taken for an answer


def test_a_contestant_that_fails_ends_the_measurement(tmp_path: Path) -> None:
    tiny = task.Task(data=str(tmp_path / "nowhere"), nanogpt=str(tmp_path), threads=1, compiled=False, **TINY)
    with pytest.raises(SystemExit, match="nanogpt ended early"):
        training_step.Contestant("nanogpt", tiny)


def test_shares_and_ratios_are_those_of_the_speeds() -> None:
    measured = {
        "matrix_rate": {"before": 50.0, "after": 100.0},
        "tokens_per_second": {"tezgah-gpt2": [30.0, 20.0, 40.0], "nanogpt": [10.0, 20.0, 20.0]},
        "flops_per_token": {"tezgah-gpt2": 2, "nanogpt": 2},
    }
    table, summary = training_step.summarize(measured)
    assert summary["tezgah-gpt2"]["share_of_matrix_rate"] == 0.6
    assert summary["tezgah-gpt2"]["ratio_to_nanogpt"] == {"median": 2.0, "low": 1.0, "high": 3.0}
    assert "| 30 (20–40) | 60% | 2.00 (1.00–3.00) |" in table


def test_all_contestants_read_the_same_ids(tmp_path: Path) -> None:
    task.write_data(tmp_path, vocab_size=300, documents=5, length=7)
    stream = TokenStream(tmp_path / "tokens", "train")
    assert len(stream) == 5 * 8 + 1
    assert stream[0:41].tolist() == np.fromfile(tmp_path / "train.bin", np.uint16).tolist()
    assert stream[0:41][stream.offsets].tolist() == [0] * 6


def test_nanogpt_is_counted_without_its_biases() -> None:
    published = task.Task()
    biases = contestants.flops_of("nanogpt-biases", published) - contestants.flops_of("nanogpt", published)
    assert biases == 6 * 6 * 9 * 384  # per layer: 3 widths in attention, 1 behind it, 4 + 1 in the MLP


# A training of which everything is known: `step` of every row, a checkpoint every 10, and what a restart does.
TRAINING = """
import hashlib, json, pathlib, sys, time
run, honest = pathlib.Path(sys.argv[1]), sys.argv[2] == "honest"
states = sorted(run.glob("checkpoints/step-*"))
step = int(states[-1].name[5:]) if states else -1
path = run / "metrics.jsonl"
run.mkdir(exist_ok=True)
rows = [line for line in path.read_bytes().splitlines(True) if json.loads(line)["step"] <= step] if states else []
path.write_bytes(b"".join(rows))
while step < 40:
    step += 1
    with open(path, "a") as file:
        loss = 1 / (step + 1) + (not honest) * len(states) * 1e-16
        print(json.dumps({"step": step, "loss": loss, "seconds": time.time()}), file=file)
    if step and step % 10 == 0:
        folder = run / f"checkpoints/step-{step:06d}/training_state"
        folder.mkdir(parents=True)
        (folder / "optimizer.safetensors").write_text(str(step))
        state = dict(format=1, step=step, steps=40, tokens=0, seconds=0, fingerprint="", environment={})
        (folder / "state.json").write_text(json.dumps(state))
    time.sleep(0.01)
(run / "model").mkdir()
(run / "model" / "model.safetensors").write_text("weights")
"""


@pytest.mark.parametrize("kind", ["honest", "drifting"])
def test_kills_and_restarts_are_seen_for_what_they_are(tmp_path: Path, kind: str) -> None:
    command = [sys.executable, "-c", TRAINING]
    resume.uninterrupted([*command, str(tmp_path / "whole"), kind])
    killed = tmp_path / "killed"
    restarts = resume.interrupted([*command, str(killed), kind], killed, steps=40, kills=3, seed=2)
    assert len(restarts) == 3
    assert [each.killed_after // 10 * 10 or None for each in restarts] == [each.checkpoint for each in restarts]
    assert [each.next_row - 1 for each in restarts] == [each.checkpoint or -1 for each in restarts]
    equal = resume.compare(tmp_path / "whole", tmp_path / "killed")
    assert [name for name, value in equal.items() if not value] == ([] if kind == "honest" else ["every step's loss"])
    assert resume.report(restarts, equal)[1] == (kind == "honest")


def test_a_checkpoint_is_written_both_ways(tmp_path: Path) -> None:
    shape = ModelSettings(n_layers=1, width=16, n_heads=2, context_length=8)
    size, rounds = checkpoint_pause.measure(shape, 20, batch=2, time_steps=8, rounds=2, folder=tmp_path)
    assert len(rounds) == 2 and min(rounds[0].before, rounds[0].now, rounds[0].writing, rounds[1].before) > 0
    assert (tmp_path / "checkpoints" / "step-000001" / "training_state" / "state.json").is_file()
    written = [path.stat().st_size for path in (tmp_path / "before").iterdir()]
    assert size < sum(written) < size + 10_000  # with headers


def test_a_restart_that_does_the_wrong_step_is_named() -> None:
    table, good = resume.report([resume.Restart(25, 20, next_row=26)], {"model.safetensors": True})
    assert not good
    assert "went on from checkpoint 20 with step 26 | **no** |" in table


@pytest.fixture(scope="module")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results and the run of the demo, on a tiny recipe."""
    folder = tmp_path_factory.mktemp("demo")
    words = ["--recipe", str(tiny_recipe(folder)), "--minutes", "0.01", "--run", str(folder / "run")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "tezgah", in_this_process)
        call(patch, demo, *words, "--results", str(folder))
    return folder


def tiny_recipe(folder: Path) -> Path:
    """A recipe that trains in a moment."""
    recipe = f"""
    [corpus]
    source = {json.dumps(str(Path(tezgah.__file__).parent))}
    [tokenizer]
    vocab_size = 300
    [model]
    n_layers = 1
    width = 16
    context_length = 16
    [train]
    minutes = 4
    batch_size = 2
    compile = false
    threads = 1
    validation_batches = 1
    sample_tokens = 0
    """
    (folder / "tiny.toml").write_text(textwrap.dedent(recipe))
    return folder / "tiny.toml"


def in_this_process(*words: str) -> str:
    """A command without starting Python and torch again."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert cli.main(list(words)) == 0
    return out.getvalue()


def call(patch: pytest.MonkeyPatch, module: Any, *words: str) -> None:
    """A script with these words."""
    patch.setattr(sys, "argv", [module.__name__, *words])
    module.main()


def test_the_demo_is_told_from_its_start_to_its_completions(demo_run: Path) -> None:
    result = json.loads((demo_run / "demo.json").read_text())
    evaluation = json.loads((demo_run / "run" / "evaluation.json").read_text())
    assert result["bits_per_byte"] == evaluation["bits_per_byte"]
    assert result["baselines"] == evaluation["baselines"]
    assert result["curve"][0]["step"] == 0
    assert result["curve"][-1]["step"] == result["steps"]
    assert 0 < result["seconds_before_training"] < result["run_seconds"] < result["seconds"]
    assert [each["prompt"] for each in result["completions"]] == list(demo.PROMPTS)
    assert 0 < result["reading_xz"] < 8
    assert "| not in this run |" in (demo_run / "demo.md").read_text()


def test_the_minute_of_crossing_counts_from_the_start_too(demo_run: Path) -> None:
    result = json.loads((demo_run / "demo.json").read_text())
    told = demo.table(result | {"crossing_seconds": 90.0, "seconds_before_training": 30.0, "reading_xz": 1.75})
    assert "below xz -9e of the same bytes (1.7500) | 1.50 min of training, 2.00 min after the start |" in told


@pytest.mark.slow
def test_two_sizes_are_told_with_their_crossings_and_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two_sizes, "tezgah", in_this_process)
    monkeypatch.setattr(two_sizes, "SIZES", {"small": (1, 16, 2), "large": (2, 32, 1)})
    words = ("--recipe", str(tiny_recipe(tmp_path)), "--minutes", "0.01", "--folder", str(tmp_path / "runs"))
    call(monkeypatch, two_sizes, *words, "--results", str(tmp_path))
    result = json.loads((tmp_path / "two_sizes.json").read_text())
    assert result["runs"]["small"]["parameters"] < result["runs"]["large"]["parameters"]
    told = (tmp_path / "two_sizes.md").read_text()
    for each in result["crossings"]:
        assert f"| {each['over']} | {each['words']} |" in told
    assert (tmp_path / "two_sizes.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "runs" / "curves.html").is_file()


def test_parity_holds_and_a_difference_is_seen(demo_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    words = (str(demo_run / "run"), "--lines", "50", "--results", str(demo_run))
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, parity, *words)
    assert not ended.value.code
    result = json.loads((demo_run / "parity.json").read_text())["checkpoints"][0]
    assert result["model"] == "Qwen3ForCausalLM"
    assert (result["lines"], result["differing_lines"]) == (50, [])
    assert 0 <= result["relative_error"] <= 1e-4

    model, tokenizer = tezgah.load(demo_run / "run")
    assert isinstance(model.stack.norm, RMSNorm)
    model.stack.norm.weight.data *= 1.001
    monkeypatch.setattr(tezgah, "load", lambda folder: (model, tokenizer))
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, parity, *words)
    assert ended.value.code == 1


def test_a_synthesized_corpus_is_made_of_the_real_one_and_of_new_words(tmp_path: Path) -> None:
    texts = ["".join(f"evin {number} yolu güzel\n" for number in range(500))]
    size = corpora.write_corpus(tmp_path / "made.parquet", corpora.synthesized(texts, 300_000), 300_000)
    assert size >= 300_000
    made = "".join(pq.read_table(tmp_path / "made.parquet")["text"].to_pylist()).splitlines(keepends=True)
    real = set(texts[0].splitlines(keepends=True))
    assert 0.5 < sum(line in real for line in made) / len(made) < 1
    distinct = {word for line in made for word in line.split(" ")}
    assert 2 * 504 < len(distinct) < 20 * 504
    again = tmp_path / "again.parquet"
    corpora.write_corpus(again, corpora.synthesized(texts, 300_000), 300_000)
    assert again.read_bytes() == (tmp_path / "made.parquet").read_bytes()


def small_corpora(folder: Path) -> Path:
    """Where the tokenizer benchmarks find their corpus of a megabyte, so that they make none."""
    chance = np.random.default_rng(1)
    texts = ["".join(chance.choice(list("abcdefgh  \n"), size=2_000)) for _ in range(20)]
    corpora.write_corpus(folder / "code-1000000.parquet", iter(texts), 1 << 30)
    return folder


def test_trained_tokenizers_are_set_beside_each_other_and_their_merges_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = small_corpora(tmp_path)
    words = ("--kinds", "code", "--megabytes", "1", "--rounds", "1", "--vocab-size", "300")
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, tokenizer_training, *words, "--folder", str(folder), "--results", str(folder))
    assert ended.value.code == 0
    (corpus,) = json.loads((folder / "tokenizer_training.json").read_text())["corpora"]
    ours, theirs = (corpus["rounds"][name][0] for name in ("tezgah", "tokenizers"))
    assert ours["merges"] == 43 and ours["digest"] == theirs["digest"]
    corpus["rounds"]["tokenizers"][0] = theirs | {"digest": "0", "seconds": ours["seconds"] * 5}
    row = tokenizer_training.rows(corpus)[1]
    assert (row[3], row[5]) == ("5.0 (5.0–5.0)", "OTHERS")


def test_encoders_are_set_beside_each_other_and_their_ids_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tiktoken")
    folder = small_corpora(tmp_path)
    words = ("--kinds", "code", "--megabytes", "1", "--rounds", "1", "--vocab-size", "300")
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, tokenizer_encoding, *words, "--folder", str(folder), "--results", str(folder))
    assert ended.value.code == 0
    bare, whole = json.loads((folder / "tokenizer_encoding.json").read_text())["corpora"]
    assert bare["differing"] == {"tiktoken": 0, "tokenizers": 0, "documents": 521}
    tokens = {each["rounds"][name][0]["tokens"] for each in (bare, whole) for name in tokenizer_encoding.CONTESTANTS}
    assert len(tokens) == 1


def test_shards_are_measured_beside_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = ["--rounds", "2", "--batches", "2", "--steps", "1", "--threads", "1"]
    folders = ["--folder", str(tmp_path / "ids"), "--results", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["shards.py", "--shards", "1", "40", *sizes, *folders])
    shards.main()
    one, many = json.loads((tmp_path / "shards.json").read_text())["results"]
    assert (one["shards"], one["shard_bytes"]) == (1, 128 + 2 * 40 * 448)
    assert (many["shards"], many["shard_bytes"]) == (40, 1024)
    assert len(one["drawn"]) == len(many["trained"]) == 2
    assert all(speed > 0 for each in (one, many) for speed in (*each["drawn"], *each["trained"], *each["open_seconds"]))


def test_a_stream_is_measured_and_set_beside_the_same_corpus_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"def area_{number}(a, b):\n    return a * {number}\n" * 40 for number in range(300)]
    monkeypatch.setattr(stream_mode, "python_code", lambda: texts)
    monkeypatch.setattr(stream_mode, "VOCAB_SIZE", 300)
    source, run = tmp_path / "1.jsonl.gz", tmp_path / "run"
    stream_mode.make_source(source, 100_000)
    found = stream_mode.draw(source, run, 64)
    assert found["sequences"] * 64 <= found["tokens"] + 64 * stream_mode.BATCH
    assert found["peak_bytes"] > 0
    resumed = stream_mode.resume(source, run, 64)
    result = stream_mode.compare(source, run, 64)
    assert (result["sequences"], result["different"], result["is_as_long"]) == (found["sequences"], 0, True)
    assert stream_mode.compared(result).startswith(f"{found['sequences']:,}, all the same")
    assert stream_mode.compared({**result, "different": 3}).endswith("differ")
    row = {"source_bytes": source.stat().st_size, **found, "resume": resumed, "compare": result}
    assert "all the same" in stream_mode.table([row])


def test_classifiers_are_set_beside_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = tiny.encoder_folder(tmp_path / "encoder")
    lines = ["category\ttext", *(f"{row['label']}\t{row['text']}" for row in tiny.rows())]
    (tmp_path / "topics.tsv").write_text("\n".join(lines))
    polarity = tiny.write_rows(tmp_path / "polarity.jsonl", tiny.rows(24))
    words = [encoder, "--topics", tmp_path / "topics.tsv", "--polarity", polarity, polarity, "--results", tmp_path]
    words += ["--contestants", "fine-tuned", "random weights", "--seeds", 2, "--folds", 3, "--only-folds", 1]
    call(monkeypatch, topics, *map(str, words), "--epochs", "2", "--lr", "0.01")
    found = json.loads((tmp_path / "topics.json").read_text())["results"]
    assert [each["texts"] for each in found["topics"]["fine-tuned"]] == [16, 16]
    assert [each["texts"] for each in found["polarity"]["random weights"]] == [24, 24]
    assert found["topics"]["fine-tuned"][0] != found["topics"]["random weights"][0]
    assert "| topics | random weights | 16 |" in (tmp_path / "topics.md").read_text()


def test_a_baseline_of_words_learns_what_words_tell(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    examples = read_examples(tiny.write_rows(tmp_path / "data.jsonl", tiny.rows()), FinetuneSettings())
    found = topics.cross_validated(topics.tf_idf, examples, folds=4, first=4, seed=1)
    assert found["texts"] == 48 and found["macro_f1"] > 95


def test_results_name_the_machine_the_versions_and_the_commit(tmp_path: Path) -> None:
    measuring.write_results(tmp_path, "x", "A title", "| a |", {"values": [1, 2]}, measuring.conditions())
    written = json.loads((tmp_path / "x.json").read_text())
    assert {"cpu", "cores", "python", "packages", "git", "time", "values"} <= set(written)
    assert written["packages"]["torch"] in (tmp_path / "x.md").read_text()


def test_turkish_tokenizers_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prose, english = tmp_path / "tr", tmp_path / "en"
    prose.mkdir()
    english.mkdir()
    lines = [f"Ali’nin {number}. evi Ankara'daydı ve güzeldi\n" for number in range(200)]
    (prose / "a.txt").write_text("".join(lines))
    (english / "b.txt").write_text("the cat sat on the mat\n" * 20)
    Tokenizer.train(["the cat sat on the mat"] * 9, vocab_size=262).save(tmp_path / "base")
    words = ["--prose", prose, "--english", english, "--base", tmp_path / "base" / "tokenizer.json"]
    words += ["--add", 40, "--vocab-size", 290, "--results", tmp_path]
    call(monkeypatch, tokenizer_turkish, *map(str, words))
    found = json.loads((tmp_path / "tokenizer_turkish.json").read_text())
    assert found["extension"]["added"] == 40
    assert found["extension"]["english_words_changed"] == 0
    assert found["extension"]["after"]["tokens"] < found["extension"]["before"]["tokens"]
    safe, usual = (found["splits"][name]["tokens_per_apostrophe_word"] for name in ("turkish-safe", "gpt2"))
    assert 1 < safe <= usual
