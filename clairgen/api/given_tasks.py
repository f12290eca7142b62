"""Tasks that a program gives, as a list or a `datasets.Dataset`, written into the run as the file that they are read from.

The file is named by its content: the same tasks are the same source, and a run that was interrupted goes on with it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from clairgen.config.models import RunConfig, TaskSource
from clairgen.errors import InputError, RunError
from clairgen.store import RunDirectory


def with_tasks(config: RunConfig, tasks: Iterable[Any], run: Path | str) -> RunConfig:
    """The configuration with these tasks in place of those that it names, kept in a file of the run's folder.

    A task is a text, a list of messages, or a row with `prompt` or `messages`, as in a file; `column`, `answers`, `scores` and
    `sample` of the configuration's `tasks` hold for rows. `tasks` is a list, a tuple, an iterator or a `datasets.Dataset`. Raises
    InputError for anything else in their place, RunError for a folder that cannot be used.
    """
    lines = [f"{json.dumps(row)}\n" for row in _rows(tasks)]
    if not lines:
        raise InputError("there is no task; give at least one")
    content = "".join(lines).encode()
    directory = RunDirectory(Path(run))
    directory.create()
    path = directory.given_tasks(blake2b(content, digest_size=8).hexdigest())
    if not path.exists():
        draft = path.with_suffix(".tmp")
        try:
            draft.write_bytes(content)
            draft.replace(path)
        except OSError as error:
            raise RunError(f"{path} cannot be written: {error.strerror}; check the disk and the permissions") from error
    kept = {} if config.tasks is None else config.tasks.model_dump(include={"column", "answers", "scores", "sample"})
    return config.model_copy(update={"tasks": TaskSource(path=path.resolve(), **kept)})


def _rows(tasks: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    kind = type(tasks)
    is_dataset = kind.__module__.partition(".")[0] == "datasets" and not isinstance(tasks, Mapping)
    if not is_dataset and not isinstance(tasks, list | tuple | Iterator):
        ways = {"DatasetDict": "name a split of it", "DataFrame": "write tasks.to_dict('records')"}
        way = ways.get(kind.__name__, "put them into a list")
        raise InputError(f"tasks are given as a list or a datasets.Dataset, not as {kind.__name__}; {way}")
    for number, task in enumerate(tasks):
        row = {"prompt": task} if isinstance(task, str) else {"messages": task} if isinstance(task, list) else task
        if not isinstance(row, Mapping):
            raise InputError(
                f"tasks[{number}] is a {type(task).__name__}; a task is a text, a list of messages, or a row with `prompt` or "
                "`messages`"
            )
        yield {str(name): _cell(value, f"tasks[{number}] has {str(name)!r}") for name, value in row.items()}


def _cell(value: Any, where: str) -> Any:  # noqa: ANN401 - a cell of a data set
    """The cell, if JSON can hold it."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{where}, which JSON cannot hold ({error}); leave that column out") from error
    return value
