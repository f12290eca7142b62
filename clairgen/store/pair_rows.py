"""Pairs as rows: the statements that write one, and the columns that one is read from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clairgen.metrics.contrast import METRICS_VERSION
from clairgen.records import (
    Answer,
    Contrast,
    FilterAction,
    Finding,
    Message,
    Pair,
    ParseStatus,
    StoredPair,
    Task,
    Undecided,
    Variant,
)
from clairgen.store.completions import now
from clairgen.store.messages import messages_of
from clairgen.store.schema import Statement

COLUMNS = (
    "p.id, p.task_id, p.recipe, m.body, p.chosen, p.rejected, p.chosen_finish_reason, p.rejected_finish_reason, "
    "p.chosen_model, p.rejected_model, p.reasoning, p.parse_status, p.parser_version, p.levenshtein, p.jaccard, "
    "p.length_ratio, p.tokenizer, p.metrics_version, p.position, a.key, b.key, "
    "iif(p.chosen IS NULL, coalesce(p.unparsed, c.text), NULL), "
    "p.chosen IS NULL AND EXISTS (SELECT 1 FROM judgements j WHERE j.task_id = p.task_id AND j.recipe = p.recipe), "
    "p.reasked, p.missed, "
    "d.objective"
)
POSITION = 18
"""Of `p.position` among the columns."""
FROM = (
    "FROM pairs p JOIN messages m ON m.hash = p.prompt "
    "LEFT JOIN pair_requests a ON a.pair_id = p.id AND a.part = 'chosen' "
    "LEFT JOIN pair_requests b ON b.pair_id = p.id AND b.part = 'rejected' "
    "LEFT JOIN completions c ON c.key = a.key LEFT JOIN advice d ON d.pair_id = p.id"
)
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
"""Reasons for which there is no revision; two of them are also said of judges, whose judgements are then stored."""


@dataclass(frozen=True, slots=True)
class MadePair:
    """What a recipe made of a task, on its way into the store; `asked` are the keys of all completions that it took."""

    outcome: Pair | Undecided
    prompt: tuple[Message, ...]
    contrast: Contrast | None
    findings: tuple[Finding, ...]
    asked: tuple[str, ...] = ()


def judgement_rows(outcome: Pair | Undecided) -> list[Statement]:
    """The statements that keep what judges said of a task's answers, by the recipe that asked them."""
    sql = (
        "INSERT OR REPLACE INTO judgements (task_id, recipe, role, round, key, shown_first, shown_second, choice, status, "
        "reasoning, parser_version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    )
    return [
        ("DELETE FROM judgements WHERE task_id = ? AND recipe = ?", (outcome.task_id, outcome.recipe)),
        *(
            (
                sql,
                (
                    outcome.task_id, outcome.recipe, one.role, one.round, one.key, one.shown_first, one.shown_second, one.choice,
                    one.status.value, one.reasoning, one.parser_version,
                ),
            )
            for one in outcome.judgements
        ),
    ]  # fmt: skip


def finding_rows(identity: str, filter_set: int, findings: Sequence[Finding]) -> list[Statement]:
    """Statements that replace what a filter set found in a pair."""
    sql = "INSERT INTO filter_results (filter_set, pair_id, position, filter, action, reason, value) VALUES (?, ?, ?, ?, ?, ?, ?)"
    return [
        ("DELETE FROM filter_results WHERE filter_set = ? AND pair_id = ?", (filter_set, identity)),
        *(
            (sql, (filter_set, identity, position, found.filter, found.action.value, found.reason, found.value))
            for position, found in enumerate(findings)
        ),
    ]


def drop_reason(findings: Sequence[Finding]) -> str | None:
    """The reason that a pair is counted under when it is dropped: the first in the order of the filters."""
    return next((finding.reason for finding in findings if finding.action is FilterAction.DROP), None)


def contrast_row(identity: str, contrast: Contrast) -> Statement:
    """The statement that replaces the contrast of a pair."""
    values = _contrast_values(contrast)
    columns = ", ".join(f"{name} = ?" for name in values)
    return f"UPDATE pairs SET {columns} WHERE id = ?", (*values.values(), identity)


def _contrast_values(contrast: Contrast | None) -> dict[str, Any]:
    return {
        "levenshtein": contrast.levenshtein if contrast else None,
        "jaccard": contrast.jaccard if contrast else None,
        "length_ratio": contrast.length_ratio if contrast else None,
        "tokenizer": contrast.tokenizer if contrast else None,
        "metrics_version": METRICS_VERSION,
    }


def update_row(identity: str, made: MadePair, prompt_hash: str, filter_set: int) -> Statement:
    """The statement that turns a pending pair into a made one."""
    outcome = made.outcome
    rejected, chosen = _sides(outcome)
    values = _contrast_values(made.contrast) | {
        "status": "made",
        "chosen": chosen_text(outcome),
        "reasoning": outcome.reasoning,
        "parse_status": outcome.reason.value if isinstance(outcome, Undecided) else ParseStatus.OK.value,
        "parser_version": outcome.parser_version,
        "prompt": prompt_hash,
        "rejected": rejected.text,
        "unparsed": chosen.text if isinstance(outcome, Undecided) and chosen and not chosen.key else None,
        "chosen_finish_reason": chosen.finish_reason if chosen else None,
        "rejected_finish_reason": rejected.finish_reason,
        "chosen_model": chosen.model if chosen else None,
        "rejected_model": rejected.model,
        "filter_set": filter_set,
        "drop_reason": drop_reason(made.findings),
        "made_at": now(),
        "reasked": outcome.retried,
        "missed": outcome.failed_check,
    }
    columns = ", ".join(f"{name} = ?" for name in values)
    return f"UPDATE pairs SET {columns} WHERE id = ?", (*values.values(), identity)


def request_rows(identity: str, outcome: Pair | Undecided, asked: Sequence[str]) -> list[Statement]:
    """The statements that record which completions made a pair: its two answers, and all others that it took."""
    sql = "INSERT INTO pair_requests (pair_id, part, key) VALUES (?, ?, ?)"
    rejected, chosen = _sides(outcome)
    answers = {"chosen": chosen, "rejected": rejected}
    parts = {part: answer.key for part, answer in answers.items() if answer is not None and answer.key}
    others = [key for key in dict.fromkeys(asked) if key not in parts.values()]
    parts |= {f"request-{number}": key for number, key in enumerate(others, start=1)}
    gone: Statement = ("DELETE FROM pair_requests WHERE pair_id = ?", (identity,))
    return [gone, *((sql, (identity, part, key)) for part, key in parts.items())]


def stored_pair(row: Any, findings: tuple[Finding, ...]) -> StoredPair:  # noqa: ANN401 - a row of SQLite
    """The pair of a row of COLUMNS."""
    (
        identity, task_id, recipe, body, chosen, rejected, chosen_finish, rejected_finish, chosen_model, rejected_model,
        reasoning, parse_status, parser_version, levenshtein, jaccard, length_ratio, tokenizer, version, _, chosen_key,
        rejected_key, unparsed, judged, reasked, missed, objective,
    ) = row  # fmt: skip
    first = Answer(rejected, rejected_finish, rejected_key or "", rejected_model)
    text = unparsed if chosen is None else chosen
    second = None if text is None else Answer(text, chosen_finish, chosen_key or "", chosen_model or "")
    outcome: Pair | Undecided
    if chosen is not None:
        assert second is not None  # noqa: S101 - its text is `chosen`
        outcome = Pair(
            task_id, recipe, second, first, reasoning, parser_version, retried=bool(reasked), failed_check=missed
        )
    else:
        reason = ParseStatus(parse_status)
        compared = bool(judged) or reason not in _REASONS_OF_REVISIONS
        outcome = Undecided(
            task_id,
            recipe,
            reason,
            (first, second) if compared and second is not None else (first,),
            None if compared else second,
            reasoning,
            parser_version,
            retried=bool(reasked),
            failed_check=missed,
        )
    fresh = levenshtein is not None and version == METRICS_VERSION
    contrast = None if not fresh else Contrast(levenshtein, jaccard, length_ratio, tokenizer)
    return StoredPair(
        identity,
        Task(task_id, messages_of(body)),
        outcome,
        contrast,
        findings,
        None if objective is None else Variant(objective),
    )


def chosen_text(outcome: Pair | Undecided) -> str | None:
    """The text of the chosen answer, if one was chosen."""
    return outcome.chosen.text if isinstance(outcome, Pair) else None


def _sides(outcome: Pair | Undecided) -> tuple[Answer, Answer | None]:
    """What the columns call rejected and chosen; where nothing was decided, the first reply and the last."""
    if isinstance(outcome, Pair):
        return outcome.rejected, outcome.chosen
    first, *rest = outcome.replies
    return first, rest[-1] if rest else None
