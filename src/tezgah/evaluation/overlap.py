"""How alike samples and canonical solutions look: BLEU, and two parts of CodeBLEU. It does not say which are right.

Beside the verdicts of tests it shows why it does not: samples that fail are often as much like the solution as those
that pass (Chen et al. 2021, "Evaluating Large Language Models Trained on Code", figure 8). Each figure is of a sample's
text against its task's solution, from 0 to 100:

- BLEU (Papineni et al. 2002), sacrebleu's own of sentences: tokens of "13a", up to 4-grams, exponential smoothing;
- keyword BLEU: the same, but a word of Python counts five times as much as another token among the single tokens
  (Ren et al. 2020, "CodeBLEU: a Method for Automatic Evaluation of Code Synthesis", section 3.1);
- the AST match: how many of the solution's subtrees the sample has, too, names and values left out (section 3.2), by
  Python's own `ast`; 0 for what Python cannot parse.

CodeBLEU's fourth part, the match of data flow, is left out, and so is the sum of all.
"""

import ast
import keyword
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tezgah.errors import InputError
from tezgah.evaluation.intervals import Interval, ratio_interval
from tezgah.evaluation.task_results import Result
from tezgah.evaluation.tasks import Task
from tezgah.files import write_bytes, write_json

FORMAT = 1
LARGEST_NGRAM = 4
OTHER_WEIGHT = 0.2  # of a token that is no word of Python; of one that is it is 1


class SampleOverlap(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `overlap.jsonl`: how much a sample is like its task's solution, and whether it passed."""

    task_id: str
    sample: int
    passed: bool
    bleu: float
    keyword_bleu: float
    ast_match: float


class Contrast(msgspec.Struct, frozen=True, kw_only=True):
    """The mean of a measure over all samples, those that passed, and those that failed; None where there are none."""

    all: Interval
    passed: Interval | None
    failed: Interval | None


class OverlapSummary(msgspec.Struct, frozen=True, kw_only=True):
    """`overlap.json`: means over samples, with intervals over tasks."""

    format: int = FORMAT
    samples: int
    passed: int
    failed: int
    bleu: Contrast
    keyword_bleu: Contrast
    ast_match: Contrast


def measure_overlap(tasks: Sequence[Task], alike: "Alike", results: Sequence[Result], folder: Path) -> OverlapSummary:
    """Write `overlap.jsonl` and `overlap.json` of judged samples into `folder`.

    Tasks without a solution do not count. Raises InputError where none has one.
    """
    solutions = {task.task_id: task for task in solved(tasks)}
    rows = [alike.overlap(solutions[each.task_id], each) for each in results if each.task_id in solutions]
    summary = OverlapSummary(
        samples=len(rows),
        passed=sum(each.passed for each in rows),
        failed=sum(not each.passed for each in rows),
        bleu=_contrast(rows, "bleu"),
        keyword_bleu=_contrast(rows, "keyword_bleu"),
        ast_match=_contrast(rows, "ast_match"),
    )
    write_bytes(folder / "overlap.jsonl", b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    write_json(folder / "overlap.json", msgspec.to_builtins(summary))
    return summary


def solved(tasks: Sequence[Task]) -> list[Task]:
    """The tasks with a solution to compare with. Raises InputError where there are none."""
    found = [task for task in tasks if (task.canonical_solution or "").strip()]
    if not found:
        raise InputError("--overlap compares with `canonical_solution`, which no task has. Leave it out.")
    return found


class Alike:
    """The three measures of a pair of texts. Raises InputError without sacrebleu, an extra."""

    def __init__(self) -> None:
        try:
            from sacrebleu.metrics import BLEU
            from sacrebleu.metrics.helpers import extract_all_word_ngrams
        except ImportError:
            raise InputError("--overlap needs sacrebleu: pip install 'tezgah[overlap]'.") from None
        self._bleu: Any = BLEU(effective_order=True)
        self._ngrams: Callable[..., Any] = extract_all_word_ngrams

    def overlap(self, task: Task, result: Result) -> SampleOverlap:
        """How much a sample is like its task's solution."""
        solution = task.canonical_solution or ""
        return SampleOverlap(
            task_id=result.task_id,
            sample=result.sample,
            passed=result.passed,
            bleu=self.bleu(result.completion, solution),
            keyword_bleu=self.keyword_bleu(result.completion, solution),
            ast_match=ast_match(task.prompt, result.completion, solution),
        )

    def bleu(self, text: str, reference: str) -> float:
        """sacrebleu's BLEU of a sentence."""
        return round(float(self._bleu.sentence_score(text, [reference]).score), 6)

    def keyword_bleu(self, text: str, reference: str, other_weight: float = OTHER_WEIGHT) -> float:
        """BLEU whose single tokens that are no words of Python have `other_weight`; with a weight of 1 it is BLEU."""
        (ours, length), (theirs, wanted) = (self._counted(each) for each in (text, reference))
        correct, total = [0.0] * LARGEST_NGRAM, [0.0] * LARGEST_NGRAM
        for ngram, count in ours.items():
            weight = other_weight if len(ngram) == 1 and not keyword.iskeyword(ngram[0]) else 1.0
            correct[len(ngram) - 1] += weight * min(count, theirs.get(ngram, 0))
            total[len(ngram) - 1] += weight * count
        found = self._bleu.compute_bleu(correct, total, length, wanted, smooth_method="exp", effective_order=True)
        return round(float(found.score), 6)

    def _counted(self, text: str) -> tuple[Counter[tuple[str, ...]], int]:
        """How often a text has each n-gram of up to four tokens, and how many tokens it has."""
        found, length = self._ngrams(self._bleu.tokenizer(text.rstrip()), 1, LARGEST_NGRAM)
        return found, length


def ast_match(prompt: str, text: str, reference: str) -> float:
    r"""Of the subtrees that a reference adds to the prompt's program, how many in a hundred the text adds, too.

    >>> ast_match("def f(x):\n", "    return x + 1\n", "    return y + 2\n")
    100.0
    >>> ast_match("def f(x):\n", "    return x\n", "    return y + 2\n"), ast_match("def f(x):\n", "(", "    pass\n")
    (25.0, 0.0)
    """
    wanted, found = subtrees(prompt, reference), subtrees(prompt, text)
    both = sum((wanted & found).values())
    return round(100 * both / max(1, wanted.total()), 6)


def subtrees(prompt: str, text: str) -> Counter[str]:
    """The statements and expressions of prompt and text together that begin behind the prompt, with all below them.

    Names and values are left out; nothing is left of what cannot be parsed.
    """
    lines = prompt.encode().split(b"\n")
    end = len(lines), len(lines[-1])  # line from 1, bytes from 0
    try:
        with warnings.catch_warnings(action="ignore"):  # of escapes and comparisons in what a model wrote
            program = ast.parse(prompt + text)
        return Counter(
            _shape(node)
            for node in ast.walk(program)
            if isinstance(node, ast.stmt | ast.expr) and (node.lineno, node.col_offset) >= end
        )
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Counter()


def _shape(node: ast.AST) -> str:
    """The kinds of a node and of all below it; what only tells whether a name is read or written is left out."""
    below = [_shape(child) for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr_context)]
    return f"{type(node).__name__}({','.join(below)})"


def _contrast(rows: Sequence[SampleOverlap], name: str) -> Contrast:
    """The means of a measure; each task has its own sum and number of samples, and tasks are drawn anew."""

    def mean(chosen: Callable[[SampleOverlap], bool]) -> Interval | None:
        sums: dict[str, float] = {}
        counts: Counter[str] = Counter()
        for each in rows:
            if chosen(each):
                sums[each.task_id] = sums.get(each.task_id, 0.0) + getattr(each, name)
                counts[each.task_id] += 1
        return ratio_interval(list(sums.values()), [counts[task] for task in sums], name) if sums else None

    every = mean(lambda each: True)
    assert every is not None  # there are samples
    return Contrast(all=every, passed=mean(lambda each: each.passed), failed=mean(lambda each: not each.passed))
