"""Pairs as rows: the statements that write one, and the columns that one is read from.

Of an outcome that is undecided, `chosen` is null, the columns called rejected hold its first reply and those called chosen
its last; that reply's text is in `unparsed` only if no completion holds it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from clairgen.metrics.contrast import METRICS_VERSION
from clairgen.records import (
    Answer,
    Contrast,
    FilterAction,
    Finding,
    Message,
    Pair,
    ParseStatus,
    Score,
    StoredPair,
    Task,
    Undecided,
    Variant,
)
from clairgen.store.completions import now
from clairgen.store.statements import Statement, messages_of

LOST_BY: Final = "coalesce(p.drop_reason, iif(p.parse_status = 'ok', NULL, p.parse_status))"
"""Why a made pair `p` is not kept: the reason of the first filter that drops it, or of no decision; null if it is kept."""

SELECT_PAIRS: Final = """
SELECT p.id, p.position, p.task_id, p.recipe, m.body AS prompt, t.chosen, t.rejected,
    p.chosen_finish_reason, p.rejected_finish_reason, p.chosen_model, p.rejected_model, p.chosen_removed, p.rejected_removed,
    chosen_request.key AS chosen_key, rejected_request.key AS rejected_key,
    t.reasoning, p.parse_status, p.parser_version, p.retried, p.failed_check,
    p.levenshtein, p.jaccard, p.length_ratio, p.tokenizer, p.metrics_version, p.filter_set, d.objective, p.source_columns,
    iif(t.chosen IS NULL, coalesce(t.unparsed, c.text), NULL) AS last_reply,
    t.chosen IS NULL AND EXISTS (SELECT 1 FROM judgements j WHERE j.task_id = p.task_id AND j.recipe = p.recipe) AS judged
FROM pairs p JOIN pair_texts t ON t.pair = p.number JOIN messages m ON m.hash = p.prompt
    LEFT JOIN pair_requests chosen_request ON chosen_request.pair_id = p.id AND chosen_request.purpose = 'chosen'
    LEFT JOIN pair_requests rejected_request ON rejected_request.pair_id = p.id AND rejected_request.purpose = 'rejected'
    LEFT JOIN completions c ON c.key = chosen_request.key
    LEFT JOIN advice d ON d.pair_id = p.id
"""
"""The columns of a PairRow, in its order, of pairs `p`; conditions on `p` follow."""

SELECT_FIGURES: Final = f"""
SELECT p.id, p.position, p.task_id, {LOST_BY} AS lost_by,
    p.retried, p.failed_check, p.parse_status = 'ok' AS is_decided, p.levenshtein, p.jaccard, p.length_ratio, p.tokenizer
FROM pairs p
"""
"""The columns of PairFigures, in its order; no text is read for them."""

_REASONS_OF_REVISIONS = frozenset(
    {
        ParseStatus.NO_SOLUTION_HEADER,
        ParseStatus.EMPTY_SOLUTION,
        ParseStatus.HEADER_ONLY_IN_REASONING,
        ParseStatus.UNCLOSED_THINKING,
        ParseStatus.BROKEN_JSON,
        ParseStatus.SOLUTION_NOT_TEXT,
        ParseStatus.ECHOED_PROMPT,
    }
)
"""Reasons why a reply holds no revision. Two of them are also reasons of judges, whose judgements or scores are then stored."""


@dataclass(frozen=True, slots=True)
class MadePair:
    """What a recipe made of a task, on its way into the store; `request_keys` are those of all completions that it took."""

    outcome: Pair | Undecided
    prompt: tuple[Message, ...]
    contrast: Contrast | None
    findings: tuple[Finding, ...]
    request_keys: tuple[str, ...] = ()


class PairRow(NamedTuple):
    """A row of SELECT_PAIRS; `last_reply` and `judged` are those of a pair without a chosen answer.

    A column of it is found ten times as fast as one of SQLite's own rows, which matters where a million are read.
    """

    id: str
    position: int
    task_id: str
    recipe: str
    prompt: bytes
    chosen: str | None
    rejected: str
    chosen_finish_reason: str
    rejected_finish_reason: str
    chosen_model: str
    rejected_model: str
    chosen_removed: str | None
    rejected_removed: str | None
    chosen_key: str | None
    rejected_key: str | None
    reasoning: str | None
    parse_status: str
    parser_version: int | None
    retried: int
    failed_check: str | None
    levenshtein: int | None
    jaccard: float
    length_ratio: float | None
    tokenizer: str
    metrics_version: int
    filter_set: int
    objective: str | None
    source_columns: str | None
    last_reply: str | None
    judged: int


class PairFigures(NamedTuple):
    """What reports count of a pair. `lost_by` is why it is not kept: the reason of a filter, or why nothing was decided."""

    id: str
    position: int
    task_id: str
    lost_by: str | None
    retried: int
    failed_check: str | None
    is_decided: int
    levenshtein: int
    jaccard: float
    length_ratio: float | None
    tokenizer: str

    @property
    def contrast(self) -> Contrast | None:
        """The stored contrast, of whatever version; None of what was not decided."""
        if not self.is_decided:
            return None
        return Contrast(self.levenshtein, self.jaccard, self.length_ratio, self.tokenizer)


def stored_pair(row: PairRow, findings: tuple[Finding, ...], scores: tuple[Score, ...] = ()) -> StoredPair:
    """The pair of a row of SELECT_PAIRS."""
    objective = row.objective
    return StoredPair(
        row.id,
        Task(row.task_id, messages_of(row.prompt)),
        _outcome(row, scores),
        _contrast(row),
        findings,
        None if objective is None else Variant(objective),
        row.filter_set,
        {} if row.source_columns is None else json.loads(row.source_columns),
    )


def chosen_text(outcome: Pair | Undecided) -> str | None:
    """The text of the chosen answer, if one was chosen."""
    return outcome.chosen.text if isinstance(outcome, Pair) else None


def rejected_text(outcome: Pair | Undecided) -> str:
    """The text of the rejected answer; of the first answer where none was chosen."""
    return _sides(outcome)[0].text


def update_rows(identity: str, made: MadePair, prompt_hash: str, filter_set: int) -> list[Statement]:
    """The statements that turn a pending pair into a made one, and store its texts."""
    return [_update(identity, _values(made, prompt_hash, filter_set)), _texts_row(identity, made.outcome)]


def imported_rows(
    identity: str, position: int, made: MadePair, prompt_hash: str, filter_set: int, source_columns: Mapping[str, Any]
) -> list[Statement]:
    """The statements that add an imported pair; its position is that in the import, so that each pair has its own."""
    values = {
        "id": identity,
        "position": position,
        "task_id": made.outcome.task_id,
        "recipe": made.outcome.recipe,
        "source_columns": json.dumps(source_columns) if source_columns else None,
        **_values(made, prompt_hash, filter_set),
    }
    marks = ", ".join("?" * len(values))
    row = f"INSERT INTO pairs ({', '.join(values)}) VALUES ({marks})", tuple(values.values())
    return [row, _texts_row(identity, made.outcome)]


def contrast_row(identity: str, contrast: Contrast) -> Statement:
    """The statement that replaces the contrast of a pair."""
    return _update(identity, _contrast_values(contrast))


def request_rows(identity: str, made: MadePair) -> list[Statement]:
    """The statements that record which completions made a pair: those of its two answers, and all others that it took."""
    sql = "INSERT INTO pair_requests (pair_id, purpose, key) VALUES (?, ?, ?)"
    rejected, chosen = _sides(made.outcome)
    answers = {"chosen": chosen, "rejected": rejected}
    keys = {purpose: answer.key for purpose, answer in answers.items() if answer is not None and answer.key}
    others = [key for key in dict.fromkeys(made.request_keys) if key not in keys.values()]
    keys |= {f"request-{number}": key for number, key in enumerate(others, start=1)}
    return [
        ("DELETE FROM pair_requests WHERE pair_id = ?", (identity,)),
        *((sql, (identity, purpose, key)) for purpose, key in keys.items()),
    ]


def finding_rows(identity: str, filter_set: int, findings: Sequence[Finding]) -> list[Statement]:
    """The statements that store what a filter set found in a pair in which it has not found anything yet."""
    sql = "INSERT INTO filter_results (filter_set, pair_id, position, filter, action, reason, value) VALUES (?, ?, ?, ?, ?, ?, ?)"
    return [
        (sql, (filter_set, identity, position, found.filter, found.action.value, found.reason, found.value))
        for position, found in enumerate(findings)
    ]


def no_findings_row(identity: str, filter_set: int) -> Statement:
    """The statement that deletes what a filter set found in a pair before."""
    return "DELETE FROM filter_results WHERE filter_set = ? AND pair_id = ?", (filter_set, identity)


def drop_reason(findings: Sequence[Finding]) -> str | None:
    """The reason that a pair is counted under when it is dropped: the first in the order of the filters."""
    return next((finding.reason for finding in findings if finding.action is FilterAction.DROP), None)


def _contrast(row: PairRow) -> Contrast | None:
    """The stored contrast; None where there is none by this version of the metrics."""
    if row.levenshtein is None or row.metrics_version != METRICS_VERSION:
        return None
    return Contrast(row.levenshtein, row.jaccard, row.length_ratio, row.tokenizer)


def _outcome(row: PairRow, scores: tuple[Score, ...]) -> Pair | Undecided:
    task_id, recipe, reasoning, version = row.task_id, row.recipe, row.reasoning, row.parser_version
    retried, failed_check = bool(row.retried), row.failed_check
    first = Answer(
        row.rejected,
        row.rejected_finish_reason,
        row.rejected_key or "",
        row.rejected_model,
        _names(row.rejected_removed),
    )
    if row.chosen is not None:
        chosen = _last_reply(row, row.chosen)
        return Pair(
            task_id, recipe, chosen, first, reasoning, version, retried=retried, failed_check=failed_check, scores=scores
        )  # fmt: skip
    reason = ParseStatus(row.parse_status)
    last = None if row.last_reply is None else _last_reply(row, row.last_reply)
    compared = bool(row.judged or scores) or reason not in _REASONS_OF_REVISIONS
    return Undecided(
        task_id,
        recipe,
        reason,
        (first, last) if compared and last is not None else (first,),
        None if compared else last,
        reasoning,
        version,
        retried=retried,
        failed_check=failed_check,
        scores=scores,
    )


def _last_reply(row: PairRow, text: str) -> Answer:
    removed = _names(row.chosen_removed)
    return Answer(text, row.chosen_finish_reason, row.chosen_key or "", row.chosen_model, removed)


def _listed(removed: tuple[str, ...]) -> str | None:
    return " ".join(removed) or None


def _names(listed: str | None) -> tuple[str, ...]:
    return tuple(listed.split(" ")) if listed else ()


def _sides(outcome: Pair | Undecided) -> tuple[Answer, Answer | None]:
    """What the columns call rejected and chosen."""
    if isinstance(outcome, Pair):
        return outcome.rejected, outcome.chosen
    first, *rest = outcome.replies
    return first, rest[-1] if rest else None


def _values(made: MadePair, prompt_hash: str, filter_set: int) -> dict[str, Any]:
    """The columns of a made pair."""
    outcome = made.outcome
    rejected, chosen = _sides(outcome)
    return _contrast_values(made.contrast) | {
        "status": "made",
        "parse_status": outcome.reason.value if isinstance(outcome, Undecided) else ParseStatus.OK.value,
        "parser_version": outcome.parser_version,
        "prompt": prompt_hash,
        "chosen_finish_reason": chosen.finish_reason if chosen else None,
        "rejected_finish_reason": rejected.finish_reason,
        "chosen_model": chosen.model if chosen else None,
        "rejected_model": rejected.model,
        "chosen_removed": _listed(chosen.removed) if chosen else None,
        "rejected_removed": _listed(rejected.removed),
        "filter_set": filter_set,
        "drop_reason": drop_reason(made.findings),
        "made_at": now(),
        "retried": outcome.retried,
        "failed_check": outcome.failed_check,
    }


def _texts_row(identity: str, outcome: Pair | Undecided) -> Statement:
    """The statement that stores the texts of a pair that has a row."""
    first, last = _sides(outcome)
    unparsed = last.text if isinstance(outcome, Undecided) and last is not None and not last.key else None
    sql = (
        "INSERT OR REPLACE INTO pair_texts (pair, chosen, rejected, unparsed, reasoning) "
        "SELECT number, ?, ?, ?, ? FROM pairs WHERE id = ?"
    )
    return sql, (chosen_text(outcome), first.text, unparsed, outcome.reasoning, identity)


def _contrast_values(contrast: Contrast | None) -> dict[str, Any]:
    return {
        "levenshtein": contrast.levenshtein if contrast else None,
        "jaccard": contrast.jaccard if contrast else None,
        "length_ratio": contrast.length_ratio if contrast else None,
        "tokenizer": contrast.tokenizer if contrast else None,
        "metrics_version": METRICS_VERSION,
    }


def _update(identity: str, values: dict[str, Any]) -> Statement:
    columns = ", ".join(f"{name} = ?" for name in values)
    return f"UPDATE pairs SET {columns} WHERE id = ?", (*values.values(), identity)
