"""`python -m docs.generator BUILD`: lay out the site's sources in BUILD, with the generated parts filled in.

The generated parts are made at every build and never committed: so they cannot go stale, and may differ between versions of
Python and of the libraries that describe types.
"""

import re
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from docs.generator import commands, configuration, library, stored

PAGES = Path(__file__).parents[1]
PARTS: Mapping[str, Callable[[], str]] = {
    "commands": commands.commands,
    "configuration": configuration.configuration,
    "diagnostics": stored.diagnostics,
    "errors": stored.errors,
    "experiment-keys": configuration.experiment_keys,
    "export-columns": stored.export_columns,
    "filters": configuration.filters,
    "lint-rules": stored.lint_rules,
    "python": library.python,
    "report-json": stored.report_json,
    "tables": stored.tables,
    "training-configs": configuration.training_configs,
    "training-json": stored.training_json,
    "training-settings": configuration.training_settings,
}
"""What stands where a page has the sentence of MARK: whoever reads the sources sees why there is nothing else."""
MARK = re.compile(r'^\*`make docs` writes the part "([\w-]+)" here, from the code\.\*$', re.MULTILINE)


def pages() -> dict[str, str]:
    """Every page by its path below docs/, with the generated parts filled in; KeyError for a part that there is not."""
    return {
        page.relative_to(PAGES).as_posix(): MARK.sub(lambda mark: PARTS[mark[1]](), page.read_text(encoding="utf-8"))
        for page in sorted(PAGES.rglob("*.md"))
    }


def write(build: Path) -> int:
    """Write the sources below `build`, in place of those of an earlier build; how many pages there are."""
    source = build / "docs-source"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(PAGES, source, ignore=shutil.ignore_patterns("generator", "*.toml", "*.md", "__pycache__"))
    written = pages()
    for name, text in written.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text, encoding="utf-8")
    shutil.copyfile(PAGES / "zensical.toml", build / "zensical.toml")
    return len(written)


if __name__ == "__main__":
    count = write(Path(sys.argv[1]))
    sys.stdout.write(f"{count} pages\n")
