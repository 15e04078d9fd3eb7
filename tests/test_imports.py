"""What is imported when: looking at the house must not start the machines."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "numpy", "pyarrow", "tokenizers", "matplotlib", "rich", "transformers", "datasets", "accelerate"}
SETTINGS = sorted(path.parent.name for path in Path(__file__).parents[1].glob("src/tezgah/*/settings.py"))


def imported_by(statement: str) -> set[str]:
    """The heavy packages that are loaded after `statement` ran in a new interpreter."""
    program = f"import sys; {statement}; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return HEAVY & set(ran.stdout.split())


def test_importing_tezgah_imports_nothing_heavy():
    assert imported_by("import tezgah") == set()


@pytest.mark.parametrize("room", SETTINGS)
def test_settings_import_nothing_heavy(room):
    assert imported_by(f"import tezgah.{room}.settings") == set()


@pytest.mark.parametrize("module", ["errors", "settings", "files", "console"])
def test_the_ground_floor_imports_nothing_heavy(module):
    assert imported_by(f"import tezgah.{module}") == set()
