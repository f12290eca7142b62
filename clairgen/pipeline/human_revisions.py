"""A person's edit of an answer becomes a pair of the recipe `human-revision`: the edited text against the text that was edited.

It is measured and filtered like every pair, and committed in one short transaction, also while another process writes the run.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

from clairgen.conversations import is_encodable
from clairgen.errors import InputError, RunError
from clairgen.filters.filter_settings import FilterSettings
from clairgen.filters.pipeline import FilterPipeline
from clairgen.long_texts import in_thread, off_loop
from clairgen.metrics.contrast import DEFAULT_TOKENIZER, contrast
from clairgen.pipeline.make_pair import trimmed
from clairgen.pipeline.refilter import unsettled_rows
from clairgen.records import Answer, Contrast, Pair, StoredPair
from clairgen.store import (
    HUMAN_REVISION,
    MadePair,
    Revision,
    RunDirectory,
    Store,
    now,
    reading,
    revision_pair_id,
    short_write,
)
from clairgen.store.metadata import TOKENIZER

HUMAN: Final = "human"
"""What stands for the model of an answer that a person wrote."""


class EditedAnswer(StrEnum):
    """The answer of a pair that a person edited."""

    CHOSEN = "chosen"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class AnswerRevised:
    """An edit that was kept: the pair that it makes, and whether it is new."""

    pair_id: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class Edit:
    """What a person makes of an answer of a pair: the `text`, by whom, and why if they say so."""

    answer: EditedAnswer
    text: str
    editor: str
    note: str | None


async def add_revision(run: Path | str, stored: StoredPair, pair: Pair, edit: Edit) -> AnswerRevised:
    """Keep an edit of a pair as it was read; see `clairgen.api.run_votes.revise`.

    Raises InputError for an edit that is empty or no text or changes nothing, RunError if the pair has other answers by now.
    """
    before, other = (pair.chosen, pair.rejected) if edit.answer is EditedAnswer.CHOSEN else (pair.rejected, pair.chosen)
    text = _checked(edit.text, before, other)
    directory = RunDirectory(Path(run))
    created = now()
    made = Pair(
        stored.task.id,
        HUMAN_REVISION,
        Answer(text, "stop", "", HUMAN),
        before,
        reasoning=edit.note,
    )
    identity = revision_pair_id(stored.id, edit.answer, before.identity, text)
    revision = Revision(identity, stored.id, stored.version, edit.answer, edit.editor, text, edit.note, created)
    while True:
        measured = await _measured(directory, made, stored, revision)

        async def work(store: Store, measured: _Measured = measured) -> bool | None:
            in_force = await store.filter_sets.in_force()
            if in_force is None or in_force[0] != measured.filter_set:
                return None  # other filters by now: measure again
            await _require_same(store, stored)
            later = unsettled_rows(measured.settings)
            return await store.revisions.add(revision, measured.made, measured.filter_set, compared_later=later)

        if (is_new := await short_write(directory, work)) is not None:
            return AnswerRevised(identity, is_new)


def edit_fault(text: str) -> str | None:
    """What is wrong with an edited text, to be said after what it was given as; None if nothing is."""
    if not text.strip():
        return "is empty; vote drop on a pair that nobody can use"
    if "\0" in text or not is_encodable(text):
        return "is not a text without a NUL, as UTF-8"
    return None


@dataclass(frozen=True, slots=True)
class _Measured:
    made: MadePair
    filter_set: int
    settings: FilterSettings


def _checked(text: str, before: Answer, other: Answer) -> str:
    if (fault := edit_fault(text)) is not None:
        raise InputError(f"the edited answer {fault}")
    text = trimmed(text if "\r" in before.text else _lines(text))
    if _lines(text) == _lines(trimmed(before.text)):
        raise InputError("the edited answer is the answer as it was, so there is nothing to keep")
    if _lines(text) == _lines(trimmed(other.text)):
        raise InputError("the edited answer is the other answer of the pair; to say which of them is better, vote")
    return text


def _lines(text: str) -> str:
    """The text with the line ends of forms and of files on Windows as newlines."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


async def _measured(run: RunDirectory, pair: Pair, origin: StoredPair, revision: Revision) -> _Measured:
    """The pair with its contrast and what the filters in force find in it."""
    async with reading(run) as store:
        in_force = await store.filter_sets.in_force()
        tokenizer = await store.metadata.get(TOKENIZER) or DEFAULT_TOKENIZER
        plan = (await store.metadata.plans()).get(HUMAN_REVISION)
        votes = await store.votes.of_coming(revision.pair_id)
    if in_force is None:
        raise RunError(f"the pairs of {run.path} were never filtered; run: clairgen filter {run.path}")
    if plan is not None and (plan.imported_from is not None or plan.facts):
        raise RunError(
            f"{run.path} has other pairs that are called {HUMAN_REVISION}, so it cannot keep edits; use a run in which "
            "those have another name"
        )
    settings = FilterSettings.from_record(in_force[1])
    measured: Contrast = await off_loop(contrast, pair.chosen.text, pair.rejected.text, tokenizer)
    prompt = origin.task.messages
    texts: Sequence[str] = (*(message.content for message in prompt), pair.chosen.text, pair.rejected.text)
    pipeline = await asyncio.to_thread(FilterPipeline, settings)
    findings = await in_thread(
        partial(
            pipeline.apply,
            pair,
            measured,
            revises=True,
            prompt=prompt,
            source_columns=revision.columns,
            votes=votes,
        ),
        *texts,
    )
    return _Measured(MadePair(pair, tuple(prompt), measured, findings), in_force[0], settings)


def of_version(seen: str, pair_id: str, stored: StoredPair | None) -> StoredPair:
    """The pair as it is stored now. Raises RunError where that is no longer the version that somebody saw."""
    if stored is None or stored.version != seen:
        raise RunError(f"pair {pair_id} has other answers by now than those that you saw: look at it again")
    return stored


async def _require_same(store: Store, stored: StoredPair) -> None:
    of_version(stored.version, stored.id, await store.chosen.pair(stored.id))
