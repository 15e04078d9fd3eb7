"""Files and folders are whole or absent, whatever happens while they are written."""

import errno
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tezgah import lock
from tezgah.errors import InputError
from tezgah.files import (
    atomic_file,
    atomic_folder,
    check_format,
    fingerprint,
    hash_file,
    read_json,
    remove_leftovers,
    write_json,
    write_text,
    writing_to,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def run_and_die(program: str, folder: Path) -> None:
    """Run a program that ends itself by SIGKILL; `folder` is its argument."""
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(program), str(folder)], capture_output=True, text=True)
    assert ran.returncode == -signal.SIGKILL, ran.stderr


def test_a_file_that_failed_half_way_leaves_the_one_before(tmp_path):
    write_text(tmp_path / "a.txt", "before")
    with pytest.raises(ZeroDivisionError), atomic_file(tmp_path / "a.txt") as file:
        file.write(b"half")
        1 / 0
    assert (tmp_path / "a.txt").read_text() == "before"
    assert names(tmp_path) == ["a.txt"]


def test_a_folder_that_failed_half_way_leaves_the_one_before(tmp_path):
    with atomic_folder(tmp_path / "model") as folder:
        (folder / "weights").write_text("before")
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "model") as folder:
        (folder / "weights").write_text("half")
        raise KeyboardInterrupt
    assert (tmp_path / "model" / "weights").read_text() == "before"
    assert names(tmp_path) == ["model"]


def test_a_folder_is_replaced_whole_not_merged(tmp_path):
    for name in ("first", "second"):
        with atomic_folder(tmp_path / "model") as folder:
            (folder / name).mkdir()
            (folder / name / "deep").write_text(name)
    assert names(tmp_path / "model") == ["second"]
    assert names(tmp_path) == ["model"]


def test_a_reader_never_sees_a_file_before_it_is_whole(tmp_path):
    with atomic_file(tmp_path / "deep" / "a.txt") as file:
        file.write(b"x")
        assert not (tmp_path / "deep" / "a.txt").exists()
    assert (tmp_path / "deep" / "a.txt").read_bytes() == b"x"


def test_a_kill_while_a_folder_is_filled_leaves_the_one_before(tmp_path):
    write_text(tmp_path / "model" / "weights", "before")
    run_and_die(
        """
        import os, signal, sys
        from pathlib import Path
        from tezgah.files import atomic_folder
        with atomic_folder(Path(sys.argv[1]) / "model") as folder:
            (folder / "weights").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        tmp_path,
    )
    assert len(names(tmp_path)) == 2  # the torn folder lies beside
    remove_leftovers(tmp_path / "model")
    assert names(tmp_path) == ["model"]
    assert (tmp_path / "model" / "weights").read_text() == "before"


def test_whoever_locks_a_run_meets_whole_files_alone(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = f"{dead.pid}.part"
    write_text(tmp_path / "checkpoints" / "step-000200" / "weights", "whole")
    write_text(tmp_path / "checkpoints" / f".step-000400.{left}" / f".weights.{left}", "half")
    write_text(tmp_path / f".model.{dead.pid}.old" / "weights", "moved aside")
    write_text(tmp_path / f".metrics.jsonl.{left}", "half")
    with lock.locked(tmp_path):
        assert names(tmp_path) == [".lock", "checkpoints", "model"]
        assert names(tmp_path / "checkpoints") == ["step-000200"]
        assert (tmp_path / "model" / "weights").read_text() == "moved aside"


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path):
    write_text(tmp_path / "model" / "weights", "before")
    run_and_die(
        """
        import os, signal, sys
        from pathlib import Path
        from tezgah.files import atomic_folder
        rename = os.replace
        def rename_and_die(a, b):
            rename(a, b)
            os.kill(os.getpid(), signal.SIGKILL)
        with atomic_folder(Path(sys.argv[1]) / "model") as folder:
            (folder / "weights").write_text("after")
            os.replace = rename_and_die
        """,
        tmp_path,
    )
    assert not (tmp_path / "model").exists()
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "model") as folder:
        assert (tmp_path / "model" / "weights").read_text() == "before"  # given back before the next is made
        1 / 0
    assert names(tmp_path) == ["model"]
    with atomic_folder(tmp_path / "model") as folder:
        (folder / "weights").write_text("after")
    assert (tmp_path / "model" / "weights").read_text() == "after"
    assert names(tmp_path) == ["model"]


def test_a_second_rename_that_is_refused_gives_the_folder_back(tmp_path, monkeypatch):
    write_text(tmp_path / "model" / "weights", "before")
    rename = os.replace

    def refuse_the_new(source, target):
        if Path(source).suffix == ".part":
            raise OSError(errno.EACCES, "Permission denied")
        rename(source, target)

    monkeypatch.setattr(os, "replace", refuse_the_new)
    with pytest.raises(InputError, match="cannot be written"), atomic_folder(tmp_path / "model") as folder:
        (folder / "weights").write_text("after")
    assert (tmp_path / "model" / "weights").read_text() == "before"
    assert names(tmp_path) == ["model"]


def test_leftovers_of_others_are_not_ours(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    mine = [f".model.{dead.pid}.part", f".model.{dead.pid}.old", f".model.{os.getpid()}.part"]
    others = [f".model.{os.getppid()}.part", f".model.x.{dead.pid}.part", f".model2.{dead.pid}.part", ".model.part"]
    for name in ["model", *mine, *others]:
        (tmp_path / name).mkdir()
    remove_leftovers(tmp_path / "model")
    assert names(tmp_path) == sorted(["model", *others])


def test_names_with_glob_characters_are_taken_literally(tmp_path):
    path = tmp_path / "run[1]*"
    (tmp_path / f".run[1]*.{os.getpid()}.part").mkdir()
    (tmp_path / f".run1.{os.getpid()}.part").mkdir()
    with atomic_folder(path) as folder:
        (folder / "a").touch()
    assert names(tmp_path) == sorted([f".run1.{os.getpid()}.part", "run[1]*"])


def test_a_full_disk_is_one_line_and_harms_nothing(tmp_path):
    write_text(tmp_path / "a.txt", "before")
    with pytest.raises(InputError, match=r"a\.txt: the disk is full\. Free some space"):
        with atomic_file(tmp_path / "a.txt") as file:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
    assert (tmp_path / "a.txt").read_text() == "before"
    assert names(tmp_path) == ["a.txt"]


def test_all_that_a_folder_holds_is_on_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    happened: list[object] = []
    rename = os.replace

    def note_rename(source, target):
        happened.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", lambda file: happened.append(os.fstat(file).st_ino))
    monkeypatch.setattr(os, "replace", note_rename)
    with atomic_folder(tmp_path / "model") as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "weights").write_text("x")
    model = tmp_path / "model"
    inside = {path.stat().st_ino for path in (model, model / "inner", model / "inner" / "weights")}
    moved = happened.index("rename")
    assert set(happened[:moved]) == inside
    assert happened[moved + 1 :] == [tmp_path.stat().st_ino]


def test_a_disk_that_fills_at_the_last_flush_is_one_line(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="the disk is full"), atomic_folder(tmp_path / "model") as folder:
        (folder / "weights").write_text("x")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "error",
    [  # what the writers in use raised on a file system of 1 MB
        OSError("3000000 requested and 524224 written"),  # numpy
        OSError(28, "Error writing bytes to file. Detail: [errno 28] No space left on device"),  # Arrow
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),  # safetensors
        Exception("No space left on device (os error 28)"),  # tokenizers
        OSError(errno.EDQUOT, "Disk quota exceeded"),
    ],
)
def test_every_writer_in_use_meets_a_full_disk_in_one_line(tmp_path, error):
    with pytest.raises(InputError, match="the disk is full"), atomic_folder(tmp_path / "model"):
        raise error


def test_numpy_still_words_a_short_write_as_we_read_it(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        with pytest.raises(InputError, match="the disk is full"), atomic_folder(tmp_path / "tokens") as folder:
            np.save(folder / "a.npy", np.zeros(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_refusal_met_while_reading_inside_the_block_is_not_blamed_on_writing(tmp_path):
    with pytest.raises(PermissionError), atomic_folder(tmp_path / "corpus"):
        raise PermissionError(errno.EACCES, "Permission denied", "/somewhere/else.txt")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_a_place_that_refuses_writing_is_one_line(number):
    with pytest.raises(InputError, match=r"^runs/x: cannot be written \(.+\)\. Choose a place you may write to\.$"):
        with writing_to(Path("runs/x")):
            raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("writer", [atomic_file, atomic_folder, lock.locked])
def test_a_file_where_a_folder_is_needed_is_one_line(tmp_path, writer):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"), writer(tmp_path / "file" / "deeper"):
        pass


def test_a_folder_where_a_file_is_needed_is_one_line(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_text(tmp_path / "a", "x")
    assert names(tmp_path) == ["a"]


@given(json_values)
def test_json_comes_back_as_it_went(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("json") / "value.json"
    write_json(path, value)
    assert read_json(path) == json.loads(path.read_bytes()) == json.loads(json.dumps(value))


def test_a_file_name_that_is_no_utf8_survives_json(tmp_path):
    name = os.fsdecode(b"caf\xe9.txt")
    write_json(tmp_path / "a.json", {"path": name, "türkçe": "ğüş"})
    assert read_json(tmp_path / "a.json") == {"path": name, "türkçe": "ğüş"}
    assert "ğüş" in (tmp_path / "a.json").read_text()
    assert fingerprint([name]) != fingerprint(["café.txt"])


def test_a_text_may_name_a_file_that_is_no_utf8(tmp_path):
    write_text(tmp_path / "a.md", "ğüş " + os.fsdecode(b"caf\xe9.txt"))
    assert (tmp_path / "a.md").read_text(encoding="utf-8") == "ğüş caf\\udce9.txt"


def test_json_that_is_not_finite_is_refused(tmp_path):
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write_json(tmp_path / "a.json", [value])
        with pytest.raises(ValueError, match="not JSON compliant"):
            fingerprint([value])
    assert names(tmp_path) == []


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[" * 200_000])
def test_damaged_json_is_one_line_that_names_the_file(tmp_path, data):
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.json: not valid JSON .+ Restore or remove the file\.$") as caught:
        read_json(tmp_path / "a.json")
    assert "\n" not in str(caught.value)


def test_json_that_cannot_be_read_is_one_line(tmp_path):
    for path in (tmp_path / "absent.json", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            read_json(path)


@given(st.dictionaries(st.text(), json_values, max_size=6))
def test_a_fingerprint_does_not_depend_on_the_order_of_keys(value):
    assert fingerprint(value) == fingerprint(dict(reversed(value.items())))


@given(json_values, json_values)
def test_two_values_have_one_fingerprint_only_if_they_are_one_value(first, second):
    assert (fingerprint(first) == fingerprint(second)) == (
        json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)
    )


def test_a_fingerprint_is_the_same_for_ever():
    # printf '{"a":[1,2.5,null,true],"\\u00fc":"x"}' | sha256sum
    expected = hashlib.sha256(b'{"a":[1,2.5,null,true],"\\u00fc":"x"}').hexdigest()
    assert fingerprint({"ü": "x", "a": (1, 2.5, None, True)}) == expected
    assert fingerprint({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


def test_the_hash_of_a_file_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert hash_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("found", [None, "1", 0, -1, True, 1.0, [1]])
def test_an_artefact_without_a_format_number_is_refused(found):
    with pytest.raises(InputError, match=r"tokens/index\.json: has no format number"):
        check_format(Path("tokens/index.json"), found, known=1)


def test_a_newer_format_is_refused_and_an_older_read():
    with pytest.raises(InputError, match="format 3 is newer than format 2 that this tezgah reads. Update tezgah"):
        check_format(Path("tokens/index.json"), 3, known=2)
    check_format(Path("tokens/index.json"), 1, known=2)
