"""Declared = imported: pyproject.toml names every package that the code imports, in the extra whose code it is, and no other."""

import ast
import contextlib
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
OWN = {"clairgen", "clairgen_train", "classroom_models", "docs", "tests"}

# Where the packages of each extra may be imported, besides those of `dependencies`, which may be imported everywhere. A
# path ends with / for a folder. The code of `dev` is the tests; those of training are skipped where torch is missing.
CODE = {
    "data": ["clairgen/exporting/", "clairgen/import_source.py", "clairgen/sources.py", "clairgen/reporting/training/"],
    "local": ["clairgen/embedded/"],
    "serve": ["clairgen/service/"],
    "otel": ["clairgen/inference/runtime.py", "clairgen/pipeline/traces.py"],
    "report": ["clairgen/evaluation/", "clairgen/experiment/", "clairgen/reporting/"],
    "train": ["train/clairgen_train/", "clairgen/cli/experiment_worker.py"],
    "tokens": ["clairgen/metrics/answer_lengths.py"],
    "qlora": [],
    "analysis": [f"clairgen/store/{name}.py" for name in ("metric_segments", "segment_figures", "segment_file")],
    "copies": ["clairgen/copies/"],
    "ray": ["clairgen/ray_cluster/"],
    "classroom": ["train/classroom_models/"],
    "docs": [],
    "dev": ["tests/"],
}

# Declared, and imported nowhere, for these reasons.
NOT_IMPORTED = {
    "bitsandbytes": "transformers imports it when a model is loaded in four bits",
    "import-linter": "a command: make floors",
    "mypy": "a command: make types",
    "pyarrow-stubs": "types of pyarrow, read by mypy",
    "pytest-cov": "a plugin that pytest loads: make coverage",
    "pytest-timeout": "a plugin that pytest loads",
    "pytest-xdist": "a plugin that pytest loads: make test JOBS=auto",
    "ruff": "a command: make lint",
    "types-pyyaml": "types of yaml, read by mypy",
    "zensical": "a command: make docs",
}

# Imported where it is there already, and needed nowhere else, for this reason.
BROUGHT_ALONG = {"clairgen/cli/display.py": {"IPython": "every notebook has it, and nothing else shows progress by it"}}


# A module that is None in `sys.modules` is not there: importing it fails, and `find_spec` finds nothing.
START = """
import sys
sys.modules.update(dict.fromkeys(sys.argv[1:]))
import clairgen, typer.main, typer.testing
from clairgen.cli.app import app
from clairgen.cli.commands import LEAVES
for name in clairgen.__all__:
    getattr(clairgen, name)
for name in (*typer.main.get_command(app).commands, *LEAVES):
    assert typer.testing.CliRunner().invoke(app, [*name.split(), "--help"]).exit_code == 0, name
"""


def normal(requirement: str) -> str:
    """The name in a requirement, spelled as the package index spells it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", requirement)[0]).lower()


def declared(extra: str) -> set[str]:
    """The packages that an extra names itself, or `dependencies` for an empty name."""
    requirements = EXTRAS[extra] if extra else PROJECT["dependencies"]
    return {normal(requirement) for requirement in requirements} - {"clairgen"}


def installed_with(extra: str) -> set[str]:
    """The packages that come with an extra: `dependencies`, its own, and those of the extras of clairgen that it names."""
    nested = [found.group(1) for requirement in EXTRAS[extra] if (found := re.match(r"clairgen\[(.*)\]", requirement))]
    names = [name.strip() for listed in nested for name in listed.split(",")]
    return declared("").union(declared(extra), *map(installed_with, names))


def with_what_they_require(packages: set[str]) -> set[str]:
    """These packages and all that their metadata require, extras of theirs apart."""
    found: set[str] = set()
    waiting = set(packages)
    while waiting:
        found.add(package := waiting.pop())
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # one for another platform
            required = importlib.metadata.requires(package) or []
            waiting |= {normal(line) for line in required if "extra ==" not in line} - found
    return found


def modules_by_package() -> dict[str, set[str]]:
    """The top-level modules of each declared package: by the metadata of what is installed, else by its name."""
    found: dict[str, set[str]] = {}
    for module, packages in importlib.metadata.packages_distributions().items():
        for package in packages:
            found.setdefault(normal(package), set()).add(module)
    everything = set().union(*map(declared, ("", *EXTRAS)))
    return {package: found.get(package) or {package.replace("-", "_")} for package in everything}


MODULES = modules_by_package()


@cache
def imports(path: Path) -> frozenset[str]:
    """The top-level modules of others that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
    return frozenset(found - sys.stdlib_module_names - OWN)


def files(*places: str) -> Iterator[Path]:
    """The Python files of these places; the benchmarks' peers live in environments of their own."""
    for place in places:
        found = sorted((ROOT / place).rglob("*.py")) if place.endswith("/") else [ROOT / place]
        yield from (path for path in found if "peers" not in path.parts)


def imported_in(*places: str) -> set[str]:
    """The modules of others that the files of these places import."""
    return {module for path in files(*places) for module in imports(path)}


def allowed(name: str) -> set[str]:
    """The packages that a file may import."""
    extras = [extra for extra, places in CODE.items() if any(name.startswith(place) for place in places)]
    if name.startswith("tests/"):
        extras += ["train", "classroom"]
    return declared("").union(*map(installed_with, extras))


@pytest.mark.slow
@pytest.mark.parametrize(
    "place", ["clairgen/", "docs/generator/", "train/clairgen_train/", "train/classroom_models/", "tests/"]
)
def test_every_imported_package_is_declared_where_it_is_imported(place: str) -> None:
    undeclared = {
        f"{name} imports {module}"
        for path in files(place)
        for name in [path.relative_to(ROOT).as_posix()]
        for module in imports(path)
        if module not in BROUGHT_ALONG.get(name, {})
        and not any(module in MODULES[package] for package in allowed(name))
    }
    assert sorted(undeclared) == []


@pytest.mark.slow
@pytest.mark.parametrize("extra", ["", *EXTRAS])
def test_every_declared_package_is_imported_by_the_code_that_it_is_declared_for(extra: str) -> None:
    imported = imported_in(*(CODE[extra] if extra else ["clairgen/", "train/clairgen_train/"]))
    unused = {package for package in declared(extra) - NOT_IMPORTED.keys() if not MODULES[package] & imported}
    assert sorted(unused) == []


@pytest.mark.parametrize(("extra", "place"), [(extra, place) for extra, places in CODE.items() for place in places])
def test_every_place_of_an_extra_imports_a_package_of_it(extra: str, place: str) -> None:
    assert imported_in(place) & set().union(*(MODULES[package] for package in declared(extra)))


@pytest.mark.process
def test_the_library_and_every_command_start_where_no_extra_is_installed() -> None:
    optional = set().union(*map(declared, EXTRAS)) - with_what_they_require(declared(""))
    hidden = sorted(module for package in optional for module in MODULES[package])
    done = subprocess.run([sys.executable, "-c", START, *hidden], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_no_package_is_excused_that_is_imported_or_not_declared() -> None:
    code = imported_in("clairgen/", "train/clairgen_train/", "train/classroom_models/")
    for package in NOT_IMPORTED:
        imported = code if package in declared("") else code | imported_in("tests/")
        assert not MODULES.get(package, set()) & imported, package
    assert NOT_IMPORTED.keys() <= set().union(*map(declared, ("", *EXTRAS)))
