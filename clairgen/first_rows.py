"""The first rows of a data set of pairs: which columns it has, what they hold, and which role the user gave them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from clairgen.conversations import encodable, is_encodable
from clairgen.errors import InputError
from clairgen.recorded_answers import score_of
from clairgen.row_files import text_of_csv_cell
from clairgen.row_pairs import TOGETHER, PairShape, RowPair, is_structure, kept_value

ROLES: Final[Mapping[str, str]] = {
    "prompt": "what was asked, as a text or a list of messages",
    "system": "a system prompt, which becomes the first message",
    "chosen": "the better answer, or the whole conversation that ends with it",
    "rejected": "the other answer, or the whole conversation that ends with it",
    "answers": "several answers of one row",
    "scores": "their scores: a field of each answer, or a column beside them",
    "first": "one of two answers that a preference compares",
    "second": "the other of the two",
    "preference": "a number, below 0 where the first answer is better, above 0 where the second is",
    "response": "one answer a row, where the rows of a prompt follow one another",
    "score": "the score of that answer",
    "id": "the name of the prompt",
}
"""What `--column ROLE=NAME` can name a column as, and what such a column holds."""

NO_COLUMN: Final = "-"
"""In place of a column's name: no column has this role."""
_PROMPTS: Final = ("question", "instruction", "input", "query", "context")
_CONVERSATIONS: Final = ("conversations", "conversation", "messages", "history")
_IDS: Final = ("task_id", "prompt_id", "id")
_MODELS: Final = (("chosen_model", "rejected_model"), ("chosen-model", "rejected-model"))
_OWN_EXPORT: Final = frozenset({"task_id", "pair_id", "recipe", "levenshtein"})
_MEASURED_AGAIN: Final = frozenset({"jaccard", "tokenizer", "length_ratio", "marks", "reasoning", *_OWN_EXPORT})


class FirstRows:
    """Rows with the columns of a data set: their names, what they hold, and those that the user named."""

    def __init__(self, first: Sequence[Mapping[str, Any]], named: Mapping[str, str], what: str) -> None:
        self.first = first
        self.what = what
        self.named = named
        self.names = list(dict.fromkeys(str(name) for row in first for name in row))
        for role, name in named.items():
            if role not in ROLES:
                raise InputError(f"--column {role}={name}: there is no role {role!r}; roles are {', '.join(ROLES)}")
            if name not in (NO_COLUMN, *self.names) and role != "scores":
                raise InputError(f"--column {role}={name}: {what} has no column {name!r}; it has {self.listed}")

    @property
    def listed(self) -> str:
        """The columns in words."""
        return ", ".join(self.names) or "none"

    def column(self, role: str, *usual: str) -> str | None:
        """The column that was named for a role, or else the first of the usual ones that is there."""
        name = self.named.get(role) or next((name for name in usual if name in self.names), None)
        return None if name == NO_COLUMN else name

    def only(self, role: str, found: Sequence[str]) -> str | None:
        """The column that was named for a role, or else the only one found. Raises InputError where there are several."""
        if role in self.named:
            return self.column(role)
        if len(found) > 1:
            ways = " or ".join(f"--column {role}={name}" for name in found)
            raise InputError(
                f"{self.what} has several columns that may be the {role} ({ROLES[role]}); say which with {ways}"
            )
        return found[0] if found else None

    def value(self, column: str | None) -> Any:  # noqa: ANN401 - a cell of a data set
        """The first value of a column that is not empty; None if there is none."""
        if column is None:
            return None
        return next((row[column] for row in self.first if row.get(column) not in (None, "", [], {})), None)

    def is_number(self, column: str) -> bool:
        """Whether the first value of a column is a number."""
        return score_of(self.value(column)) is not None

    def prompt(self) -> str:
        """The column with the prompt. Raises InputError where there is none, or a choice."""
        name = self.column("prompt", "prompt")
        if name is None and "prompt" not in self.named:
            for usual in (_PROMPTS, _CONVERSATIONS):
                name = name or self.only("prompt", [one for one in usual if one in self.names])
        if name is None:
            raise InputError(
                f"{self.what} has no column with the prompt; it has {self.listed}: name it with --column prompt=NAME"
            )
        return name

    def shape(
        self,
        name: str,
        sentence: str,
        columns: Mapping[str, str],
        pair: Callable[[Mapping[str, Any], Mapping[str, str]], RowPair],
        *,
        adds: Sequence[str] = (),
        left_out: Sequence[str] = (),
        row_by_row: bool = False,
    ) -> PairShape:
        """A shape that keeps the columns that have no role and are not `left_out`; `adds` names what `pair` adds to them."""
        own = _MEASURED_AGAIN if set(self.names) >= _OWN_EXPORT else frozenset()
        models = next((two for two in _MODELS if set(two) <= set(self.names)), None)
        identity = self.column("id", *_IDS)
        taken = {*columns.values(), *(models or ()), *left_out, *own}
        others = [column for column in self.names if column not in taken]
        further = [column for column in others if not is_structure(self.value(column))]
        behind = tuple(column for column in others if column not in further)
        not_kept = frozenset((*taken, *behind, TOGETHER))
        rest = partial(_with_the_rest, identity=identity, models=models, not_kept=not_kept, reasoning=bool(own))
        more = f"; kept besides: {', '.join(further)}" if further else ""
        more += f"; not kept, since they hold objects: {', '.join(behind)}" if behind else ""
        system = f", after the system prompt in `{columns['system']}`" if "system" in columns else ""
        return PairShape(
            name,
            f"{name}: {sentence}{system}{more}",
            columns,
            (*further, *adds),
            behind,
            lambda row: rest(row, pair(row, columns)),
            row_by_row,
        )


def _with_the_rest(
    row: Mapping[str, Any],
    pair: RowPair,
    *,
    identity: str | None,
    models: tuple[str, str] | None,
    not_kept: Collection[str],
    reasoning: bool,
) -> RowPair:
    """The pair of a row with what other columns say of it, also those that the first rows do not have.

    `reasoning` is whether the row is one that clairgen exported.
    """
    if reasoning and isinstance(row.get("chosen"), str):  # as CSV
        row = {column: text_of_csv_cell(value) if isinstance(value, str) else value for column, value in row.items()}
    chosen_model, rejected_model = (str(row.get(name) or "") for name in models) if models else ("", "")
    name = "" if identity is None or row.get(identity) is None else str(row[identity])
    kept = {
        encodable(column): value
        for column, cell in row.items()
        if column not in not_kept and (value := kept_value(cell)) is not None
    }
    return replace(
        pair,
        chosen_model=pair.chosen_model or chosen_model,
        rejected_model=pair.rejected_model or rejected_model,
        reasoning=str(row["reasoning"]) if reasoning and row.get("reasoning") else None,
        name=name if name and is_encodable(name) and "\0" not in name else None,  # SQLite's JSON ends a text at NUL
        further=kept | dict(pair.further),
    )
