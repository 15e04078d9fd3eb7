import gzip
import lzma
import shutil
import subprocess
from itertools import pairwise

import numpy as np
import pytest

from tezgah.errors import InputError
from tezgah.evaluation.compressors import baselines


def text(seed, size):
    words = [b"def ", b"return ", b"self", b".", b"(x)", b":\n    ", b"import ", b"for i in range(10)", b" = "]
    return b"".join(words[i] for i in np.random.default_rng(seed).integers(0, len(words), size))


def pieces(whole, number):
    """A text in so many pieces, cut anywhere, some of them empty."""
    places = [0, *np.sort(np.random.default_rng(number).integers(0, len(whole), number - 1)).tolist(), len(whole)]
    return [whole[start:end] for start, end in pairwise(places)]


@pytest.mark.skipif(not (shutil.which("xz") and shutil.which("gzip")), reason="needs the xz and gzip commands")
def test_baselines_equal_the_commands():
    tail, held_out = text(1, 4_000), text(2, 2_000)

    def xz(data):
        return len(subprocess.run(["xz", "-9e", "-c"], input=data, capture_output=True, check=True).stdout)

    zipped = len(subprocess.run(["gzip", "-9", "-c", "-n"], input=held_out, capture_output=True, check=True).stdout)
    marks = baselines([held_out], [tail])
    size = len(held_out)
    assert marks["gzip"] == pytest.approx(8 * zipped / size, abs=8 * 8 / size)  # two deflates, some bytes apart
    assert marks["xz"] == 8 * xz(held_out) / size
    assert marks["xz_primed"] == 8 * (xz(tail + held_out) - xz(tail)) / size


def test_texts_one_by_one_come_to_the_same_bytes_as_all_at_once():
    held_out, train = text(3, 40_000), text(4, 2_000)

    def xz(data):
        return len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))

    at_once = {
        "gzip": 8 * len(gzip.compress(held_out, 9, mtime=0)) / len(held_out),
        "xz": 8 * xz(held_out) / len(held_out),
        "xz_primed": 8 * (xz(train + held_out) - xz(train)) / len(held_out),
    }
    for documents in (3, 50, 10_000):
        assert baselines(pieces(held_out, documents), pieces(train, documents)) == at_once


def test_priming_with_the_same_text_makes_it_almost_free():
    held_out = np.random.default_rng(0).bytes(5_000)
    marks = baselines([held_out], [held_out])
    assert marks["xz"] > 8
    assert marks["gzip"] == 8 * len(gzip.compress(held_out, 9)) / 5_000
    assert marks["xz_primed"] < 0.2


def test_xz_runs_two_times_more_than_for_the_text_alone_on_the_tail_only_and_never_on_joined_texts(monkeypatch):
    runs: list[list[bytes]] = []

    class Seeing:
        def __init__(self, preset):
            self.texts: list[bytes] = []
            runs.append(self.texts)

        def compress(self, data):
            self.texts.append(data)
            return data

        def flush(self):
            return b""

    monkeypatch.setattr("tezgah.evaluation.compressors.lzma.LZMACompressor", Seeing)
    monkeypatch.setattr("tezgah.evaluation.compressors.PRIMING_BYTES", 3)
    baselines([b"gh", b"i"], [b"abc", b"de", b"f"])
    assert sorted(runs) == [[b"def"], [b"def", b"gh", b"i"], [b"gh", b"i"]]


def test_without_training_text_nothing_is_primed():
    assert list(baselines([b"abc"])) == ["gzip", "xz"]


def test_no_text_is_refused():
    with pytest.raises(InputError, match="no held-out bytes"):
        baselines([b"", b""], [b"abc"])
