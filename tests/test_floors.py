"""A room imports only from floors below its own."""

from pathlib import Path

from importlinter.cli import lint_imports


def test_every_room_imports_only_from_floors_below(monkeypatch, capsys):
    monkeypatch.chdir(Path(__file__).parents[1])
    code = lint_imports(config_filename="pyproject.toml", no_cache=True)
    assert code == 0, capsys.readouterr().out
