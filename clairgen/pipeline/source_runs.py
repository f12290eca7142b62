"""Sources of pairs as runs: a file, a folder or a data set of the hub is imported for as long as somebody reads its run."""

import asyncio
import shlex
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from clairgen.errors import InputError
from clairgen.import_source import HUB, KEPT_RUN, holds_rows
from clairgen.pipeline.import_pairs import ImportOptions, ImportSummary, import_pairs
from clairgen.store import RunDirectory, runs_inside

TRAJECTORIES: Final = "trajectories.parquet"
"""What the output folder of a training run has."""


@dataclass(frozen=True, slots=True)
class NamedRun:
    """A run's folder and what people know it as.

    `keep_with` is the command that imports the pairs of a temporary run into one that stays; None for other runs.
    """

    path: Path
    name: str
    keep_with: str | None = None


def is_source(given: Path | str) -> bool:
    """Whether an argument is pairs from elsewhere: a name of the hub, a file, or a folder that has rows and no runs."""
    path = Path(given)
    if str(given).startswith(HUB):
        return True
    if path.is_dir():
        is_run = RunDirectory(path).database.exists() or bool(runs_inside(path)) or (path / TRAJECTORIES).is_file()
        return not is_run and holds_rows(path)
    return path.is_file()


@asynccontextmanager
async def source_runs(
    given: Sequence[Path | str],
    options: ImportOptions,
    keep: Path | str | None,
    *,
    tell: Callable[[ImportSummary | str], None],
    stop: asyncio.Event | None,
) -> AsyncIterator[list[NamedRun]]:
    """The runs that are given, each once, and for each source a temporary one, or the run `keep`, with its pairs.

    `tell` is given what was understood of sources, and what importing them came to. Temporary runs are removed in the end.
    Raises InputError for options of sources, or `keep`, where there is none, and for `keep` where there are several.
    """
    sources = [one for one in dict.fromkeys(map(str, given)) if is_source(one)]
    if not sources and (keep is not None or options != ImportOptions()):
        raise InputError(
            f"--run, --subset, --split and --column are for pairs from a file, a folder or {HUB}owner/name, and none is named; "
            "leave them out, or name a source"
        )
    if keep is not None and len(sources) > 1:
        raise InputError(
            f"--run keeps the pairs of one source, and {len(sources)} are named; import each with clairgen import"
        )
    runs: list[NamedRun] = []
    async with AsyncExitStack() as stack:
        for one in dict.fromkeys(map(str, given)):
            if one not in sources:
                runs.append(NamedRun(Path(one), one))
                continue
            path = Path(keep or stack.enter_context(TemporaryDirectory(prefix="clairgen-")))
            tell(await import_pairs(one, path, options, tell=tell, stop=stop))
            runs.append(NamedRun(path, one, _command(one, options)) if keep is None else NamedRun(path, str(path)))
        yield runs


def _command(source: str, options: ImportOptions) -> str:
    """The command that imports a source into a run that stays."""
    words = ["clairgen", "import", source, "--run", KEPT_RUN]
    for option, value in (("--subset", options.subset), ("--split", options.split)):
        words += [option, value] if value is not None else []
    for role, column in options.columns.items():
        words += ["--column", f"{role}={column}"]
    return shlex.join(words)
