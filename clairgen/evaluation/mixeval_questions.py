"""The questions of MixEval-Hard (Ni et al. 2024, arXiv:2406.06565): read from files that the user has, never shipped.

Two forms are read: the project's own `free-form.json` and `multiple-choice.json`, one JSON object with a question under each id,
and JSON lines with one question a line.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from clairgen.errors import InputError
from clairgen.keys import canonical_json, digest
from clairgen.row_files import json_lines, not_utf8, require_readable_rows, strict_json

MOST_OPTIONS = 23
"""The letters A to W; X is what a judge writes for an answer that chooses no option."""
_NO_CONTEXT = ("", "none", "null")
_STEP_BY_STEP = frozenset({"BBH", "GSM8k", "MATH"})


class Split(StrEnum):
    """The two splits of the benchmark, by the kind of their questions."""

    FREE_FORM = "free-form"
    MULTIPLE_CHOICE = "multiple-choice"


@dataclass(frozen=True, slots=True)
class MixEvalQuestion:
    """A question with the answers that are right.

    `targets` are texts of which each is right, for a free-form question; `options` and `right`, the position of the right one
    from 0, are those of a multiple-choice question. `benchmark` is where MixEval took the question from.
    """

    id: str
    split: Split
    benchmark: str
    context: str | None
    prompt: str
    targets: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    right: int = 0

    @property
    def cluster(self) -> str:
        """Equal for rows that ask the same thing; MixEval-Hard 2024-06-01 asks 446 distinct questions in 1,000 rows."""
        return digest(canonical_json([self.split, self.benchmark, self.context, self.prompt, self.options]))[:32]

    @property
    def text(self) -> str:
        """What a model is asked: the context, if there is one, and the question."""
        return self.prompt if self.context is None else f"{self.context}\n{self.prompt}"

    @property
    def lettered_options(self) -> str:
        """The options, one a line, each after its letter."""
        return "\n".join(f"{letter(number)}. {option}" for number, option in enumerate(self.options))

    @property
    def needs_steps(self) -> bool:
        """Whether the model is asked to think step by step, as MixEval does for questions of reckoning and reasoning."""
        return self.split is Split.FREE_FORM and self.benchmark in _STEP_BY_STEP


def letter(position: int) -> str:
    """The letter of an option by its position from 0."""
    return chr(ord("A") + position)


def read_questions(paths: Sequence[Path]) -> list[MixEvalQuestion]:
    """All questions of the files, in order.

    Raises InputError for a file that cannot be read, a row that is no question, and an id that a split has twice: a mean over
    part of the benchmark, or over two versions of it, would pass for a score that others can be compared with.
    """
    questions: list[MixEvalQuestion] = []
    first_at: dict[str, str] = {}
    for path in paths:
        for where, row_id, row in _rows(path):
            question = _question(where, row_id, row)
            if question.id in first_at:
                raise InputError(
                    f"{where} has the id of {first_at[question.id]}, {question.id!r}; evaluate each version of MixEval-Hard "
                    "by itself, and name each file once"
                )
            first_at[question.id] = where
            questions.append(question)
    if not questions:
        raise InputError(f"there is no question in {', '.join(map(str, paths))}; name the files of MixEval-Hard")
    return questions


def _rows(path: Path) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Where each row is, its id in its file, and the row."""
    try:
        require_readable_rows(path, "the file of questions")
        if path.suffix == ".json":
            yield from _rows_of_object(path)
            return
        for number, content in json_lines(path):
            where = f"{path.name} line {number}"
            if isinstance(content, str):
                raise InputError(f"{where} holds no question: {content}")
            yield where, str(content.get("id", number)), content
    except FileNotFoundError as error:
        raise InputError(f"there is no file of questions {path}; check the path") from error
    except OSError as error:
        raise InputError(f"the file of questions {path} cannot be read: {error.strerror}") from error


def _rows_of_object(path: Path) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    try:
        content = strict_json(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(f"the file of questions {path}: {not_utf8(error)}") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"the file of questions {path} is not valid JSON ({error})") from error
    except ValueError as error:
        raise InputError(f"the file of questions {path}: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"the file of questions {path} must be one JSON object with a question under each id")
    for row_id, row in content.items():
        where = f"{path.name} question {row_id!r}"
        if not isinstance(row, dict):
            raise InputError(f"{where} holds no question: it is not a JSON object")
        yield where, row_id, row


def _question(where: str, row_id: str, row: Mapping[str, Any]) -> MixEvalQuestion:
    kind = row.get("problem_type", row.get("type"))
    if kind not in (Split.FREE_FORM, Split.MULTIPLE_CHOICE):
        raise InputError(f"{where}: `problem_type` must be free-form or multiple-choice, not {str(kind)[:80]!r}")
    benchmark = row.get("benchmark_name", row.get("benchmark"))
    prompt, context = row.get("prompt"), row.get("context")
    if not isinstance(benchmark, str) or not benchmark.strip():
        raise InputError(f"{where}: `benchmark_name` must name the benchmark that the question is from")
    if not isinstance(prompt, str) or not prompt.strip():
        raise InputError(f"{where}: `prompt` must be the text of the question")
    if context is not None and not isinstance(context, str):
        raise InputError(f"{where}: `context` must be a text or null")
    if context is not None and context.strip().lower() in _NO_CONTEXT:
        context = None
    split = Split(kind)
    own_id = f"{split}/{row_id}"
    if split is Split.FREE_FORM:
        return MixEvalQuestion(own_id, split, benchmark, context, prompt, targets=_targets(where, row.get("target")))
    options = _options(where, row.get("options"))
    return MixEvalQuestion(
        own_id, split, benchmark, context, prompt, options=options, right=_right(where, row.get("target"), len(options))
    )


def _targets(where: str, target: object) -> tuple[str, ...]:
    if not isinstance(target, list) or not target or not all(isinstance(one, str) and one.strip() for one in target):
        raise InputError(
            f"{where}: `target` of a free-form question must be a list of texts, the answers that are right"
        )
    return tuple(dict.fromkeys(target))


def _options(where: str, options: object) -> tuple[str, ...]:
    if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        raise InputError(f"{where}: `options` of a multiple-choice question must be a list of texts")
    if not 2 <= len(options) <= MOST_OPTIONS:
        raise InputError(f"{where}: a question must have 2 to {MOST_OPTIONS} options, not {len(options)}")
    return tuple(options)


def _right(where: str, target: object, options: int) -> int:
    if not isinstance(target, list) or len(target) != 1 or type(target[0]) is not int or not 0 <= target[0] < options:
        raise InputError(
            f"{where}: `target` of a multiple-choice question must be a list with the position of the right option, from 0 to "
            f"{options - 1}"
        )
    return int(target[0])
