"""How the source is laid out, in figures, for any checkout of clairgen and beside another one.

python -m tests.bench.structure [CHECKOUT] [--compare OTHER] [--names]

Words used in the table. A *module* is a Python file with more in it than a docstring; *files* are all of them. A *room* is a
direct child of the package: a sub-package with everything in it, or a module beside it (`__init__` and `__main__` are one
each). An *arrow* is one room that imports another, however often, imports inside functions and those for type checkers
included. A *circle* is a group of modules, or of rooms, that import each other. An *upward* import is one against the layers
that the checkout's own pyproject.toml gives import-linter.

The last rows are no reading of the source but a real run: one CLAIR pair is made by `clairgen.generate` against a server in
this process. *Hops* are the calls from the recipe's `await ask(...)` to the function that posts, that one included; *files
entered* are those of which any function ran until `generate` returned, imports apart.

Only the standard library is needed to read the source; for the run, the Python that runs this needs clairgen's
dependencies (`--no-run` leaves it out). Nothing is written into a checkout.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.bench.import_graph import (
    PACKAGES,
    arrows_across,
    circles,
    gerunds,
    own_names_imported,
    read,
    repeated_classes,
    repeated_modules,
    upward_imports,
)

HERE = Path(__file__).resolve().parent
_DRAFT = "Four, since two and two are four and no more than that."
_REVISED = "{teacher_reasoning}: It is right.\n\n{corrected_student_solution}: Four, since two and two are four."
_CONFIG = """\
recipes: [clair]
tasks: {{path: prompts.jsonl}}
models:
  target: {{model: target, endpoints: ["{url}"], max_tokens: 64}}
  reviser: {{model: reviser, endpoints: ["{url}"], max_tokens: 64}}
"""


def main(arguments: list[str]) -> None:
    """Print the figures of one checkout, or of two side by side."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.structure", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument(
        "checkout", type=Path, nargs="?", default=HERE.parent.parent, help="by default the one of this file"
    )
    parser.add_argument("--compare", type=Path, metavar="OTHER", help="a second checkout, for a second column")
    parser.add_argument("--names", action="store_true", help="list the names behind the figures too")
    parser.add_argument("--no-run", action="store_true", help="read the source only, make no pair")
    given = parser.parse_args(arguments)
    checkouts = [path.resolve() for path in (given.checkout, given.compare) if path]
    for path in checkouts:
        if missing := [folder for folder in PACKAGES.values() if not (path / folder / "__init__.py").is_file()]:
            parser.error(f"{path} is no checkout of clairgen: there is no {missing[0]}/ in it")
    columns, names = zip(*(figures(path, run=not given.no_run) for path in checkouts), strict=True)
    _write_table([path.name for path in checkouts], columns)
    for path, found in zip(checkouts, names, strict=True) if given.names else ():
        for title, lines in found.items():
            sys.stdout.write(
                "\n".join((f"\n{path.name}: {title}", *(f"  {line}" for line in lines or ["none"]))) + "\n"
            )


def figures(checkout: Path, *, run: bool) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The rows of the table, and the names behind them."""
    sources = [read(checkout, package) for package in PACKAGES]
    lines = sum(sum(source.lines.values()) for source in sources)
    upward = [found for source in sources for found in upward_imports(checkout, source)]
    modules, classes = repeated_modules(sources), repeated_classes(sources)
    in_circles = [circle for source in sources for circle in (*circles(source.rooms), *source.circles)]
    rows = {"modules": _split([len(source.modules) for source in sources])}
    rows |= {"files": _split([len(source.trees) for source in sources])}
    rows |= {"lines": _split([sum(source.lines.values()) for source in sources])}
    rows |= {"rooms": _apart([len(source.rooms) for source in sources])}
    rows |= {"arrows between rooms": _apart([sum(map(len, source.rooms.values())) for source in sources])}
    rows |= {"arrows from package to package": str(len(arrows_across(sources)))}
    rows |= {"circles among rooms": _apart([len(circles(source.rooms)) for source in sources])}
    rows |= {"circles among modules": _apart([len(source.circles) for source in sources])}
    rows |= {"imports upward": str(len(upward))}
    rows |= {"own names imported per 100 lines": f"{100 * sum(map(own_names_imported, sources)) / lines:.1f}"}
    rows |= {"module names used twice": f"{len(modules)} (for {sum(map(len, modules.values()))} modules)"}
    rows |= {"public class names used twice": f"{len(classes)} (for {sum(map(len, classes.values()))} classes)"}
    rows |= {"modules named -ing": str(gerunds(sources).total())}
    names = {"imports upward": upward, "in circles": [" ".join(circle) for circle in in_circles]}
    names |= {"module names used twice": [" ".join(found) for found in modules.values()]}
    names |= {"public class names used twice": [f"{name}: {' '.join(found)}" for name, found in classes.items()]}
    if run:
        trace = traced(checkout)
        rooms = {file.split("/")[0] for file in trace["files"]}
        rows |= {"hops from recipe to POST": str(len(trace["path"]) - 1)}
        rows |= {"files entered by one pair": str(len(trace["files"]))}
        rows |= {"rooms entered by one pair": str(len(rooms))}
        names |= {"from recipe to POST": trace["path"], "files entered by one pair": trace["files"]}
    return rows, names


def traced(checkout: Path) -> dict[str, list[str]]:
    """Make one pair with the clairgen of `checkout`: `path` from the recipe to the POST, and the `files` entered."""
    with _served() as url, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config.yaml").write_text(_CONFIG.format(url=url), encoding="utf-8")
        (folder / "prompts.jsonl").write_text('{"prompt": "What is 2 + 2?"}\n', encoding="utf-8")
        files = (str(checkout), "config.yaml", "run", "trace.json")
        path = os.pathsep.join((str(checkout), str(checkout / "train")))
        environment = os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "NO_PROXY": "127.0.0.1"}
        command = [sys.executable, "-P", str(HERE / "traced_pair.py"), *files]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise SystemExit(f"No pair could be made with {checkout}:\n{done.stderr.strip()[-2000:]}")
        trace: dict[str, list[str]] = json.loads((folder / "trace.json").read_text(encoding="utf-8"))
    if not trace["path"]:
        raise SystemExit(f"No POST from a recipe was seen in {checkout}: is it sent from another task or thread?")
    return trace


@contextmanager
def _served() -> Iterator[str]:
    """A server that answers chat completions as the target and the reviser; its base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = _REVISED if request["model"] == "reviser" else _DRAFT
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 20, "completion_tokens": 15, "total_tokens": 35}
        body = json.dumps({"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the name that it overrides
        pass


def _split(counts: list[int]) -> str:
    return f"{sum(counts):,} ({' + '.join(f'{count:,}' for count in counts)})"


def _apart(counts: list[int]) -> str:
    return " + ".join(f"{count:,}" for count in counts)


def _write_table(titles: list[str], columns: tuple[dict[str, str], ...]) -> None:
    table = [["", *titles], *([row, *(column[row] for column in columns)] for row in columns[0])]
    widths = [max(len(row[index]) for row in table) for index in range(len(table[0]))]
    for first, *cells in table:
        line = "  ".join(
            (first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)))
        )
        sys.stdout.write(f"{line.rstrip()}\n")
    sys.stdout.write(f"where two figures stand, the first is {' and the second '.join(PACKAGES)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
