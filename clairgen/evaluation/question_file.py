"""Questions with checkable answers from a file (.jsonl, .csv, .parquet): which column is what, and rows that cannot be used.

A row has `prompt` or `messages`, and may have `id`, `rule`, `tolerance`. The right answer is in `reference` or `answer`, what the
question belongs to in `part`, `benchmark` or `kind`; other columns can be named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from clairgen.config.models import TaskSource
from clairgen.errors import InputError
from clairgen.evaluation.answer_rules import RULES, rule_named
from clairgen.evaluation.checkable_questions import CheckableQuestion
from clairgen.row_files import require_readable_rows
from clairgen.sources import BadRow, source_rows
from clairgen.tasks import Row, check_columns, task_row

_REFERENCES: Final = ("reference", "answer")
_PARTS: Final = ("part", "benchmark", "kind")
_SUFFIXES: Final = (".jsonl", ".csv", ".parquet")


@dataclass(frozen=True, slots=True)
class QuestionColumns:
    """What the columns of a file are called, where not as usual, and the rule of rows that name none."""

    prompt: str | None = None
    reference: str | None = None
    part: str | None = None
    rule: str | None = None
    tolerance: float | None = None


@dataclass(frozen=True, slots=True)
class QuestionFile:
    """The questions of a file, and its rows that hold none, each with the reason; those are empty unless they were skipped."""

    questions: Sequence[CheckableQuestion]
    bad_rows: Sequence[BadRow]


def read_questions(path: Path, columns: QuestionColumns | None = None, *, skip_bad_rows: bool = False) -> QuestionFile:
    """The questions of a file, in order.

    Raises InputError for a file that cannot be read, a column or rule that there is not, and, unless `skip_bad_rows`, for the
    first row whose answers could not be checked: without a reference, or with one that its rule cannot use.
    """
    columns = columns or QuestionColumns()
    if columns.rule is not None:
        rule_named(columns.rule)
    _check_file(path)
    source = TaskSource(path=path, column=columns.prompt)
    questions: list[CheckableQuestion] = []
    bad: list[BadRow] = []
    for number, (where, content) in enumerate(source_rows(source)()):
        if number == 0 and isinstance(content, Mapping):
            _check_named_columns(content, columns, path)
            check_columns(content, source, no_prompt=isinstance(task_row(content, where, source), BadRow))
        found = (
            content if isinstance(content, BadRow) else _question(content, task_row(content, where, source), columns)
        )
        if isinstance(found, CheckableQuestion):
            questions.append(found)
            continue
        if not skip_bad_rows:
            raise InputError(
                f"{found.where}: {found.why}; correct the row, or leave such rows out with --skip-bad-lines, which counts them"
            )
        bad.append(found)
    if not questions:
        raise InputError(f"{path} holds no question whose answers can be checked")
    return QuestionFile(questions, bad)


def _question(content: Mapping[str, Any], row: Row | BadRow, columns: QuestionColumns) -> CheckableQuestion | BadRow:
    if isinstance(row, BadRow):
        return row
    name = content.get("rule")
    rule = columns.rule if name in (None, "") else str(name)
    if rule is None:
        return BadRow(row.where, f"it names no rule; add a column `rule`, or give --rule, one of {', '.join(RULES)}")
    if rule not in RULES:
        return BadRow(row.where, f"there is no rule {rule[:40]!r}; its rule must be one of {', '.join(RULES)}")
    tolerance = content.get("tolerance")
    if tolerance in (None, ""):
        tolerance = columns.tolerance
    try:
        tolerance = None if tolerance is None else float(tolerance)
    except (TypeError, ValueError):
        return BadRow(row.where, f"its tolerance {str(tolerance)[:40]!r} is not a number")
    reference = _cell(content, columns.reference, _REFERENCES)
    if rule != "classroom" and reference in (None, "", []):
        named = f"`{columns.reference}`" if columns.reference else " or ".join(f"`{one}`" for one in _REFERENCES)
        return BadRow(row.where, f"it has no {named} to check an answer against")
    part = _cell(content, columns.part, _PARTS)
    question = CheckableQuestion(
        row.task.messages,
        None if rule == "classroom" else reference,
        rule,
        "" if part is None else str(part),
        row.task.id if row.named else None,
        tolerance,
    )
    return question if (error := question.error) is None else BadRow(row.where, error)


def _cell(content: Mapping[str, Any], named: str | None, usual: Sequence[str]) -> Any:  # noqa: ANN401 - any cell
    for column in (named,) if named is not None else usual:
        if content.get(column) not in (None, ""):
            return content[column]
    return None


def _check_file(path: Path) -> None:
    if path.suffix not in _SUFFIXES:
        raise InputError(f"questions are read from {', '.join(_SUFFIXES)} files; {path} is none of them")
    try:
        require_readable_rows(path, "the file of questions")
    except FileNotFoundError as error:
        raise InputError(f"there is no file of questions {path}; check the path") from error
    except OSError as error:
        raise InputError(f"the file of questions {path} cannot be read: {error.strerror}") from error


def _check_named_columns(first: Mapping[str, Any], columns: QuestionColumns, path: Path) -> None:
    named = {"--column": columns.prompt, "--reference-column": columns.reference, "--part-column": columns.part}
    for option, name in named.items():
        if name is not None and name not in first:
            raise InputError(
                f"{path} has no column {name!r}, which {option} names; it has {', '.join(map(str, first))}"
            )
