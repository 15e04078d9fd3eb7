"""Which files a source names, against pathlib."""

import os
import sysconfig
from pathlib import Path

import pytest

from tezgah.corpus.inputs import DatasetName, list_inputs, list_sources
from tezgah.corpus.settings import CorpusSettings
from tezgah.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.py", "a.txt", "sub/c.py", "sub/deep/d.md", ".git/config", "sub/.hidden", "z/.venv/x.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def names(**settings) -> list[str]:
    return [file.relative for file in list_inputs(CorpusSettings(**settings))]


def test_a_folder_gives_its_files_in_order_without_hidden_ones(folder):
    assert names(source=str(folder)) == ["a.txt", "b.py", "sub/c.py", "sub/deep/d.md"]


def test_include_takes_names_and_ends_of_paths(folder):
    assert names(source=str(folder), include=("*.py",)) == ["b.py", "sub/c.py"]
    assert names(source=str(folder), include=("deep/*", "a.*")) == ["a.txt", "sub/deep/d.md"]


def test_a_glob_matches_what_pathlib_matches(folder):
    for pattern in ("*.txt", "*/*.py", "**/*.py", "sub/**/*", "[ab].*"):
        expected = sorted(
            path.relative_to(folder)
            for path in folder.glob(pattern)
            if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        )
        found = sorted(
            file.path.relative_to(folder) for file in list_inputs(CorpusSettings(source=f"{folder}/{pattern}"))
        )
        assert found == expected, pattern


def test_a_glob_is_relative_to_the_working_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert names(source="sub/**/*") == ["c.py", "deep/d.md"]


def test_a_file_named_twice_is_read_once_for_the_first_source(folder):
    sources = list_sources(CorpusSettings(source=(str(folder / "b.py"), str(folder), f"{folder}/*.txt")))
    assert [[file.relative for file in source.files] for source in sources] == [
        ["b.py"],
        ["a.txt", "sub/c.py", "sub/deep/d.md"],
        [],
    ]


def test_an_input_knows_size_and_time_of_change(folder):
    (file,) = list_inputs(CorpusSettings(source=str(folder / "a.txt")))
    assert (file.size, file.mtime_ns) == (5, (folder / "a.txt").stat().st_mtime_ns)
    assert file.is_named


def test_dead_links_pipes_and_linked_folders_are_passed_by(folder):
    (folder / "dead.txt").symlink_to(folder / "nowhere")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "alive.txt").symlink_to(folder / "b.py")
    os.mkfifo(folder / "pipe.txt")
    assert names(source=str(folder)) == ["a.txt", "alive.txt", "b.py", "sub/c.py", "sub/deep/d.md"]


def test_a_file_name_need_not_be_utf8(folder):
    try:
        (Path(os.fsdecode(os.fsencode(folder) + b"/\xff.txt"))).write_text("text")
    except OSError:
        pytest.skip("this file system wants UTF-8 names")
    assert "�.txt" in names(source=str(folder))


def test_the_standard_library_is_python_source_without_tests_and_packages():
    root = Path(sysconfig.get_paths()["stdlib"])
    files = list_inputs(CorpusSettings())
    paths = [file.relative for file in files]
    assert paths == sorted(paths)
    assert {"argparse.py", "json/decoder.py", "email/mime/__init__.py"} <= set(paths)
    left_out = {"site-packages", "dist-packages", "test", "tests", "idle_test"}
    assert all(path.endswith(".py") and not left_out & set(path.split("/")[:-1]) for path in paths)
    assert all(file.path == root / file.relative for file in files)
    assert {file.license for file in files} == {"PSF-2.0"}


def test_a_dataset_is_an_id_with_an_optional_configuration_and_split(folder):
    def dataset(name: str) -> DatasetName | None:
        return list_sources(CorpusSettings(source=name))[0].dataset

    assert dataset("datasets:owner/name") == DatasetName("owner/name")
    assert dataset("datasets:owner/name:tr") == DatasetName("owner/name", "tr")
    assert dataset("datasets:owner/name::test") == DatasetName("owner/name", "", "test")
    assert names(source=f"datasets:{folder}/sub") == ["c.py", "deep/d.md"]
    with pytest.raises(InputError, match="ID"):
        dataset("datasets:a:b:c:d")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("missing", "'missing' does not exist"),
        ("*.nothing", "no file matches '[*].nothing'"),
        ("sub/*", "only 1 folders do"),
        ("sub/empty", "holds no files"),
        ("", "corpus.source is empty"),
        ((), "corpus.source is empty"),
        ("pipe", "neither a file nor a folder"),
        ("datasets:", "not of the form"),
        ("a text in place of a path " * 20, "does not exist"),
    ],
)
def test_a_source_that_names_nothing_is_one_clear_line(tmp_path, monkeypatch, source, message):
    (tmp_path / "sub/empty").mkdir(parents=True)
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message) as error:
        list_inputs(CorpusSettings(source=source))
    assert "\n" not in str(error.value)


def test_patterns_that_match_nothing_are_named(folder):
    with pytest.raises(InputError, match=r"none of its 4 files matches corpus.include = \['[*].rs'\]"):
        list_inputs(CorpusSettings(source=str(folder), include=("*.rs",)))


def test_finding_files_needs_no_pyarrow():
    import subprocess
    import sys

    code = "import sys, tezgah.corpus.inputs, tezgah.corpus.reading; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
