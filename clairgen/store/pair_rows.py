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
    Variant,
)
from clairgen.store.completions import now
from clairgen.store.messages import messages_of
from clairgen.store.schema import Statement

COLUMNS = (
    "p.id, p.task_id, p.recipe, m.body, p.chosen, p.rejected, p.chosen_finish_reason, p.rejected_finish_reason, "
    "p.chosen_model, p.rejected_model, p.reasoning, p.parse_status, p.parser_version, p.levenshtein, p.jaccard, "
    "p.length_ratio, p.tokenizer, p.metrics_version, p.position, a.key, b.key, "
    "iif(p.chosen IS NULL, coalesce(p.unparsed, c.text), NULL), p.reasked, p.missed, "
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


@dataclass(frozen=True, slots=True)
class MadePair:
    """A pair on its way into the store; `asked` are the keys of all completions that it took."""

    pair: Pair
    prompt: tuple[Message, ...]
    contrast: Contrast | None
    findings: tuple[Finding, ...]
    asked: tuple[str, ...] = ()


def judgement_rows(pair: Pair) -> list[Statement]:
    """The statements that keep what judges said of a task's answers, by the recipe that asked them."""
    sql = (
        "INSERT OR REPLACE INTO judgements (task_id, recipe, role, round, key, shown_first, shown_second, choice, status, "
        "reasoning, parser_version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    )
    return [
        ("DELETE FROM judgements WHERE task_id = ? AND recipe = ?", (pair.task_id, pair.recipe)),
        *(
            (
                sql,
                (
                    pair.task_id, pair.recipe, one.role, one.round, one.key, one.shown_first, one.shown_second, one.choice,
                    one.status.value, one.reasoning, one.parser_version,
                ),
            )
            for one in pair.judgements
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
    pair = made.pair
    answered = pair.chosen or pair.unparsed
    values = _contrast_values(made.contrast) | {
        "status": "made",
        "chosen": pair.chosen.text if pair.chosen else None,
        "reasoning": pair.reasoning,
        "parse_status": pair.parse_status.value,
        "parser_version": pair.parser_version,
        "prompt": prompt_hash,
        "rejected": pair.rejected.text,
        "unparsed": pair.unparsed.text if pair.unparsed and not pair.unparsed.key else None,
        "chosen_finish_reason": answered.finish_reason if answered else None,
        "rejected_finish_reason": pair.rejected.finish_reason,
        "chosen_model": answered.model if answered else None,
        "rejected_model": pair.rejected.model,
        "filter_set": filter_set,
        "drop_reason": drop_reason(made.findings),
        "made_at": now(),
        "reasked": pair.reasked,
        "missed": pair.missed,
    }
    columns = ", ".join(f"{name} = ?" for name in values)
    return f"UPDATE pairs SET {columns} WHERE id = ?", (*values.values(), identity)


def ask_rows(identity: str, pair: Pair, asked: Sequence[str]) -> list[Statement]:
    """The statements that tell which completions made a pair: its two answers, and all else that was `asked` for it."""
    sql = "INSERT INTO pair_requests (pair_id, part, key) VALUES (?, ?, ?)"
    answers = {"chosen": pair.chosen or pair.unparsed, "rejected": pair.rejected}
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
        rejected_key, unparsed, reasked, missed, objective,
    ) = row  # fmt: skip
    pair = Pair(
        task_id,
        recipe,
        None if chosen is None else Answer(chosen, chosen_finish, chosen_key or "", chosen_model),
        Answer(rejected, rejected_finish, rejected_key or "", rejected_model),
        reasoning,
        ParseStatus(parse_status),
        parser_version,
        Answer(unparsed, chosen_finish, chosen_key or "", chosen_model)
        if chosen is None and unparsed is not None
        else None,
        reasked=bool(reasked),
        missed=missed,
    )
    fresh = levenshtein is not None and version == METRICS_VERSION
    contrast = None if not fresh else Contrast(levenshtein, jaccard, length_ratio, tokenizer)
    return StoredPair(
        identity,
        Task(task_id, messages_of(body)),
        pair,
        contrast,
        findings,
        chosen_model,
        rejected_model,
        None if objective is None else Variant(objective),
    )
