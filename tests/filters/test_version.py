"""Whoever changes what a filter finds raises FILTERS_VERSION, since `clairgen filter` keeps the findings of unchanged filters."""

import hashlib
from pathlib import Path

import clairgen
from clairgen.filters.registry import FILTERS_VERSION

_NOT_OF_FINDINGS = {"__init__.py", "filter_settings.py", "options.py", "pipeline.py", "registry.py"}
_HELPERS = ("finish_reason.py", "patterns.py", "thinking.py", "wording.py")
_CODE = {2: "b15963bbe4215cc6"}
"""A digest of the code that findings come from, by FILTERS_VERSION."""


def test_the_code_of_the_filters_is_that_of_their_version() -> None:
    package = Path(clairgen.__file__).parent
    files = [path for path in sorted((package / "filters").glob("*.py")) if path.name not in _NOT_OF_FINDINGS]
    digest = hashlib.sha256()
    for file in (*files, *(package / name for name in _HELPERS)):
        lines = file.read_text(encoding="utf-8").splitlines()
        digest.update("\n".join(line for line in lines if line.strip() and not line.lstrip().startswith("#")).encode())
    assert _CODE.get(FILTERS_VERSION) == digest.hexdigest()[:16], (
        "The code of the filters has changed. If a filter may now find something else, raise FILTERS_VERSION in "
        f"clairgen/filters/registry.py, so that it looks at all pairs again; then write {digest.hexdigest()[:16]!r} into _CODE."
    )
