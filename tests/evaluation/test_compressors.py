import gzip
import lzma
import shutil
import subprocess

import numpy as np
import pytest

from tezgah.errors import InputError
from tezgah.evaluation.compressors import baselines


def text(seed, size):
    words = [b"def ", b"return ", b"self", b".", b"(x)", b":\n    ", b"import ", b"for i in range(10)", b" = "]
    return b"".join(words[i] for i in np.random.default_rng(seed).integers(0, len(words), size))


@pytest.mark.skipif(not (shutil.which("xz") and shutil.which("gzip")), reason="needs the xz and gzip commands")
def test_baselines_equal_the_commands():
    tail, held_out = text(1, 4_000), text(2, 2_000)

    def xz(data):
        return len(subprocess.run(["xz", "-9e", "-c"], input=data, capture_output=True, check=True).stdout)

    zipped = len(subprocess.run(["gzip", "-9", "-c", "-n"], input=held_out, capture_output=True, check=True).stdout)
    marks = baselines(tail, held_out)
    size = len(held_out)
    assert marks["gzip"] == pytest.approx(8 * zipped / size, abs=8 * 8 / size)  # two deflates, some bytes apart
    assert marks["xz"] == 8 * xz(held_out) / size
    assert marks["xz_primed"] == 8 * (xz(tail + held_out) - xz(tail)) / size


def test_priming_with_the_same_text_makes_it_almost_free():
    held_out = np.random.default_rng(0).bytes(5_000)
    marks = baselines(held_out, held_out)
    assert marks["xz"] > 8
    assert marks["gzip"] == 8 * len(gzip.compress(held_out, 9)) / 5_000
    assert marks["xz_primed"] < 0.2


def test_xz_runs_two_times_more_than_for_the_text_alone_and_on_the_tail_only(monkeypatch):
    seen = []
    compress = lzma.compress

    def seeing(data, preset):
        seen.append(data)
        return compress(data)

    monkeypatch.setattr("tezgah.evaluation.compressors.lzma.compress", seeing)
    monkeypatch.setattr("tezgah.evaluation.compressors.PRIMING_BYTES", 3)
    baselines(b"abcdef", b"gh")
    assert sorted(seen) == [b"def", b"defgh", b"gh"]


def test_no_text_is_refused():
    with pytest.raises(InputError, match="no held-out bytes"):
        baselines(b"abc", b"")
