"""What the stages hand to one another. The stages themselves are in test_whole_run.py."""

from pathlib import Path

import numpy as np

from tezgah.corpus.build import build_corpus
from tezgah.corpus.settings import CorpusSettings
from tezgah.corpus.split_texts import SplitTexts


def test_the_texts_of_a_split_come_one_by_one_as_often_as_they_are_asked_for(tmp_path: Path) -> None:
    """3,000 documents are three batches of the reader."""
    given = [f"Belge {number}: ğ" for number in range(3_000)]
    source = tmp_path / "a.jsonl"
    source.write_text("".join(f'{{"text": "{text}"}}\n' for text in given), encoding="utf-8")
    (tmp_path / "corpus").mkdir()
    build_corpus(CorpusSettings(source=str(source), split="hash"), tmp_path / "corpus")
    every = SplitTexts(tmp_path / "corpus", "train")
    train = list(every)
    assert list(every) == train == [text.encode() for text in given if text.encode() in set(train)]
    assert 2_500 < len(train) < 3_000
    for documents in (np.array([0, 1_023, 1_024, 2_400]), np.array([], np.int64)):
        assert list(SplitTexts(tmp_path / "corpus", "train", documents)) == [train[document] for document in documents]
