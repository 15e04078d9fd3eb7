"""docs/formats.md names every field that is written."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tezgah.changes import Training
from tezgah.compare_page import FlippedTask, InfilledComparison, TaskComparison
from tezgah.corpus import reading, rules
from tezgah.corpus.columns import OURS
from tezgah.evaluation.bits_per_byte import Evaluation
from tezgah.evaluation.calibration import Bin
from tezgah.evaluation.contamination import Contamination, Overlap
from tezgah.evaluation.detailed import DetailedEvaluation, PlaceScore
from tezgah.evaluation.infilling import Infilled
from tezgah.evaluation.intervals import Interval
from tezgah.evaluation.overlap import FORMAT as OVERLAP_FORMAT
from tezgah.evaluation.overlap import Contrast, OverlapSummary, SampleOverlap
from tezgah.evaluation.paired import Difference, McNemar
from tezgah.evaluation.side_by_side import FamilyTexts, PromptTexts, SideBySide, WordShift
from tezgah.evaluation.task_results import FORMAT as TASKS_FORMAT
from tezgah.evaluation.task_results import Called, Judged, Result, Sampled, Sampling, TaskSettings, TaskSummary
from tezgah.evaluation.task_run import Timing
from tezgah.evaluation.wording import TypicalWord
from tezgah.finetuning import metrics
from tezgah.finetuning.classify import Classified
from tezgah.finetuning.record import FORMAT as FINETUNE_FORMAT
from tezgah.finetuning.record import FinetuneRecord, Mistake
from tezgah.finetuning.training import Epoch
from tezgah.runlog import versions
from tezgah.stages import FORMATS, Stamp
from tezgah.sweep import record
from tezgah.tokenizer import counts
from tezgah.tokenizer.count import LONGEST_WORD
from tezgah.tokenizer.encode import LONGEST_WORD as LONGEST_ENCODED_WORD
from tezgah.tokenizer.measure import Measures
from tezgah.tokens.index import SplitIndex, TokensIndex
from tezgah.tokens.mixture import SharesRecord, SourceShare
from tezgah.tokens.progress import Mark, State
from tezgah.training.budget import Rates
from tezgah.training.checkpoint import TrainingState
from tezgah.training.metrics import Row, Sample
from tezgah.training.parts import PartIndex, PartTensor

PAGE = (Path(__file__).parents[1] / "docs" / "formats.md").read_text(encoding="utf-8")
WRITTEN: list[Any] = [
    *(reading.CorpusSummary, reading.Amount, reading.Dropped, Measures, TokensIndex, SplitIndex),
    *(Stamp, Training, TrainingState, PartIndex, PartTensor, Rates, Row, Sample, Evaluation, State, Mark),
    *(
        DetailedEvaluation,
        PlaceScore,
        Interval,
        TaskSettings,
        Sampling,
        Sampled,
        Judged,
        Called,
        Result,
        TaskSummary,
        Timing,
    ),
    *(Infilled, SampleOverlap, Contrast, OverlapSummary),
    *(Contamination, Overlap, FamilyTexts, PromptTexts, SideBySide, WordShift, TypicalWord),
    *(TaskComparison, FlippedTask, InfilledComparison, McNemar, Difference),
    *(SharesRecord, SourceShare),
    *(record.SweepRecord, record.PointRecord, record.Edge),
    *(FinetuneRecord, Mistake, Epoch, Classified, metrics.Measured, metrics.ClassScore, Bin),
]


@pytest.mark.parametrize("kind", WRITTEN, ids=lambda kind: kind.__name__)
def test_every_field_of_an_artefact_is_described(kind: Any) -> None:
    names = [field.name for field in msgspec.structs.fields(kind)]
    assert [name for name in names if f"`{name}" not in PAGE] == []


def test_columns_reasons_and_versions_are_described() -> None:
    names = [*OURS, "size", "part", *rules.REASONS, *versions()]
    assert [name for name in names if f"`{name}`" not in PAGE] == []


def test_the_format_numbers_are_those_of_the_code() -> None:
    titles = {"corpus": "Corpus", "tokenizer": "Tokenizer", "tokens": "Tokens", "evaluate": "`evaluation.json`"}
    assert [f"## {titles[stage]}, format {FORMATS[stage]}\n" in PAGE for stage in titles] == [True] * len(titles)
    assert f"### `words.parquet`, format {counts.FORMAT}\n" in PAGE
    assert f"### `checkpoints/stream.json`, format {State.__struct_defaults__[0]}\n" in PAGE
    assert f"### `checkpoints/sources.json`, format {SharesRecord.__struct_defaults__[0]}\n" in PAGE
    assert f"### `settings.json`, format {TASKS_FORMAT}\n" in PAGE
    assert f"### `summary.json`, format {TASKS_FORMAT}\n" in PAGE
    assert f"### `overlap.jsonl`, `overlap.json`, format {OVERLAP_FORMAT}\n" in PAGE
    assert f"### `sweep.json`, format {record.FORMAT}\n" in PAGE
    assert f"### `finetune.json`, format {FINETUNE_FORMAT}\n" in PAGE
    assert f"`state.json`, format {TrainingState.__struct_defaults__[0]};" in PAGE
    assert f"`part-00000-of-00002.json`, format {PartIndex.__struct_defaults__[0]}:" in PAGE


def test_where_words_are_cut_is_described() -> None:
    assert f"of more than {LONGEST_WORD:,} bytes is cut" in PAGE
    assert f"encoding cuts after {LONGEST_ENCODED_WORD >> 20} MiB" in " ".join(PAGE.split())
