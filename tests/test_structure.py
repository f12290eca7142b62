"""The shape of the source, in the figures that `python -m tests.bench.structure` prints: what must not grow back."""

from pathlib import Path

import pytest

from tests.bench.import_graph import PACKAGES, circles, imports, read, upward_imports
from tests.bench.structure import traced

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("package", PACKAGES)
def test_no_import_runs_in_a_circle_or_upward(package: str) -> None:
    source = read(ROOT, package)
    assert circles(source.rooms) == []
    assert source.circles == []
    assert upward_imports(ROOT, source) == []


@pytest.mark.process
def test_a_recipe_reaches_the_network_in_six_calls() -> None:
    trace = traced(ROOT)
    assert trace["path"][0].startswith("recipes/clair.py ")
    assert len(trace["path"]) - 1 <= 6, trace["path"]
    assert {"recipes/clair.py", "pipeline/generate.py"} <= set(trace["files"])


def test_imports_are_found_wherever_they_stand(tmp_path: Path) -> None:
    package = tmp_path / "clairgen"
    (package / "store").mkdir(parents=True)
    for name, text in {
        "__init__.py": '"""Only a docstring."""\n',
        "errors.py": "class ClairgenError(Exception): ...\n",
        "keys.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from clairgen.store import reader\n",
        "store/__init__.py": "from .reader import Reader\n",
        "store/reader.py": "def read():\n    import clairgen.keys\n    from clairgen import errors\n\nclass Reader: ...\n",
    }.items():
        (package / name).write_text(text, encoding="utf-8")
    source = read(tmp_path, "clairgen")
    assert imports(source.trees) == {
        "clairgen": frozenset(),
        "clairgen.errors": frozenset(),
        "clairgen.keys": {"clairgen.store.reader"},
        "clairgen.store": {"clairgen.store.reader"},
        "clairgen.store.reader": {"clairgen.keys", "clairgen.errors"},
    }
    assert source.modules == ["clairgen.errors", "clairgen.keys", "clairgen.store", "clairgen.store.reader"]
    assert source.rooms == {
        "errors": frozenset(),
        "keys": {"store"},
        "store": {"errors", "keys"},
        "clairgen": frozenset(),
    }
    assert circles(source.rooms) == [["keys", "store"]]
    assert source.circles == [["clairgen.keys", "clairgen.store.reader"]]
