"""What two models are compared on: prompts of a file, and the answers to them that another file has.

The columns are those that such files have in use: the prompt in `prompt`, `messages`, `instruction` or `question`, an answer in
`output`, `answer`, `response` or `completion`, its model in `generator` or `model`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from clairgen.config.models import TaskSource
from clairgen.conversations import is_encodable
from clairgen.errors import InputError
from clairgen.keys import canonical_json, digest, messages_json
from clairgen.records import Task
from clairgen.sources import BadRow, file_rows
from clairgen.tasks import task_row
from clairgen.wording import counted

PROMPT_COLUMNS: Final = ("prompt", "messages", "instruction", "question")
ANSWER_COLUMNS: Final = ("output", "answer", "response", "completion")
MODEL_COLUMNS: Final = ("generator", "model")
PART_COLUMNS: Final = ("dataset", "subset", "source", "part", "recipe")


@dataclass(frozen=True, slots=True)
class PromptRow:
    """A prompt of a file: the task, the part that it belongs to (empty if none), where it is, and all cells of its row."""

    task: Task
    part: str
    where: str
    cells: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RecordedOutputs:
    """Recorded answers of one model, `model`, which is the file's name where no column says it.

    `answers` holds those to each prompt, by its canonical JSON, in the order of the file.
    """

    path: Path
    model: str
    answers: Mapping[str, Sequence[str]] = field(repr=False)

    def to(self, prompts: Sequence[PromptRow]) -> list[str]:
        """The answer to each prompt; a prompt that comes several times gets the answers in the order of the file, then the last.

        Raises InputError where a prompt has none.
        """
        taken: dict[str, int] = defaultdict(int)
        found: list[str] = []
        missing: list[PromptRow] = []
        for prompt in prompts:
            key = messages_json(prompt.task.messages)
            answers = self.answers.get(key)
            if answers:
                found.append(answers[min(taken[key], len(answers) - 1)])
                taken[key] += 1
            else:
                missing.append(prompt)
        if missing:
            raise InputError(
                f"{self.path} has no answer to {len(missing):,} of {counted(len(prompts), 'prompt')}, the first is that of "
                f"{missing[0].where}; answers are found by the exact text of the prompt"
            )
        return found

    @property
    def content_hash(self) -> str:
        """Hex sha256 of the answers."""
        return digest(canonical_json({key: list(answers) for key, answers in self.answers.items()}))


def read_prompts(path: Path, what: str = "prompts") -> list[PromptRow]:
    """The prompts of a .jsonl, .csv, .parquet or .json file, in its order. Raises InputError for a row without one."""
    found: list[PromptRow] = []
    bad: list[BadRow] = []
    column: str | None = None
    for where, cells in file_rows(path, what):
        if isinstance(cells, BadRow):
            bad.append(cells)
            continue
        column = column or prompt_column(cells, path)
        row = task_row(cells, where, TaskSource(path=path, column=column))
        if isinstance(row, BadRow):
            bad.append(row)
        else:
            found.append(PromptRow(row.task, part_of(cells), where, cells))
    if bad:
        raise InputError(f"{counted(len(bad), 'row')} of {path} cannot be used; {bad[0].where}: {bad[0].why}")
    if not found:
        raise InputError(f"{path} has no row")
    return found


def read_outputs(path: Path) -> RecordedOutputs:
    """The recorded answers of a file. Raises InputError for a row without prompt or answer, and for answers of two models."""
    rows = read_prompts(path, "recorded answers")
    answers: dict[str, list[str]] = defaultdict(list)
    models: set[str] = set()
    for row in rows:
        text = _first_text(row.cells, ANSWER_COLUMNS)
        if text is None:
            raise InputError(
                f"{row.where} of {path.parent} has no recorded answer: none of {', '.join(ANSWER_COLUMNS)} is a text; it has "
                f"the columns {', '.join(map(str, row.cells))}"
            )
        if (fault := text_fault(text)) is not None:
            raise InputError(f"the recorded answer of {row.where} contains {fault}; correct it")
        answers[messages_json(row.task.messages)].append(text)
        models.add(_first_text(row.cells, MODEL_COLUMNS) or path.stem)
    if len(models) > 1:
        named = ", ".join(sorted(models)[:5])
        raise InputError(f"{path} has the answers of {counted(len(models), 'model')} ({named}); give a file for each")
    return RecordedOutputs(path, models.pop(), dict(answers))


def prompt_column(cells: Mapping[str, Any], path: Path) -> str:
    """The column with the prompt. Raises InputError where there is none."""
    for name in PROMPT_COLUMNS:
        if cells.get(name) is not None:
            return name
    raise InputError(
        f"{path} has no column with a prompt, which is called {', '.join(PROMPT_COLUMNS)}; it has {', '.join(map(str, cells))}"
    )


def part_of(cells: Mapping[str, Any]) -> str:
    """The benchmark or kind of question that a row belongs to; empty where no column says it."""
    return _first_text(cells, PART_COLUMNS) or ""


def text_fault(text: str) -> str | None:
    """What a text contains that a judge cannot be shown; None if it contains nothing of the kind."""
    if "\0" in text:
        return "a NUL character, at which engines stop reading"
    return None if is_encodable(text) else "half a surrogate pair, which is not text"


def _first_text(cells: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((cells[name] for name in names if isinstance(cells.get(name), str)), None)
