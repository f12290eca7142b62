"""Lint of preference data: every row is read once, counted by the rules, and forgotten; memory does not grow with texts."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final

from clairgen.errors import InputError
from clairgen.filters.contamination import Evaluations
from clairgen.filters.text import prompt_text
from clairgen.reporting.lint.findings import MOST_EXAMPLES, Example, Finding, LintReport
from clairgen.reporting.lint.linted_rows import LintedSource, Part, Tens, opened
from clairgen.reporting.lint.linter import QUOTED, ROWS_BETWEEN_TURNS, Linter, TemplateCheck
from clairgen.reporting.lint.repeats import Repeat
from clairgen.reporting.lint.rules import RULES, Severity
from clairgen.row_pairs import RowPair

NGRAM: Final = 13
"""Words in a row that make an overlap with an evaluation, as in GPT-3 (arXiv 2005.14165, Appendix C)."""
_SEVERITIES: Final = list(Severity)


async def lint(
    *sources: Path | str,
    subset: str | None = None,
    splits: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    recipe: str | None = None,
    against: Sequence[Path | str] = (),
    ngram: int = NGRAM,
    template_check: TemplateCheck | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> LintReport:
    """What is wrong with preference data, in counts, intervals and examples; nothing is changed and no model is asked.

    A source is a file, a folder, `hub:owner/name`, a run directory or a folder of shards; several, or several splits of one, are
    parts of one data set, the first of which is trained on. `columns` names columns by their role, as in an import; `recipe` is
    that of a run.
    `against` are evaluation files, whose texts must share no run of `ngram` words with a prompt. Raises InputError for a source
    that cannot be read or is not understood, ConfigError for an evaluation file.
    """
    if not sources:
        raise InputError("there is nothing to look at; name a file, a folder, hub:owner/name or a run directory")
    evaluations = Evaluations.read([Path(file) for file in against], ngram, "--against") if against else None
    tens = Tens()
    options = LintedSource(subset, tuple(splits), columns or {}, recipe)
    async with opened([str(source) for source in sources], options, tens) as (parts, splits_left_out):
        linter = Linter(evaluations, template_check, tens)
        linted = []
        for part in parts:
            tell(f"{part.name}: {part.understood}.")
            linted.append(await linter.read(part, tell))
        tens.counting = False
        repeats = linter.repeats()
        rows = {row for found in repeats.values() for one in found[:MOST_EXAMPLES] for row in (one.row, one.earlier)}
        places = await _places(parts, rows)
    findings = [*linter.of_pairs(), *linter.of_all(), *_of_repeats(repeats, places, linter)]
    findings.sort(key=lambda one: (_SEVERITIES.index(one.severity), one.share is not None, -(one.share or 0.0)))
    not_looked = linter.not_looked(len(parts), splits_left_out)
    found = {one.rule for one in findings}
    passed = tuple(name for name in RULES if name not in found and name not in not_looked)
    return LintReport(tuple(linted), tuple(findings), passed, not_looked, linter.left_out, tuple(splits_left_out))


def _of_repeats(
    repeats: Mapping[str, Sequence[Repeat]], places: Mapping[int, tuple[str, str]], linter: Linter
) -> list[Finding]:
    findings = []
    for rule, found in repeats.items():
        if found:
            examples = [
                Example(*places[one.row], places[one.earlier][0])
                for one in found[:MOST_EXAMPLES]
                if one.row in places and one.earlier in places  # but where the source was changed meanwhile
            ]
            severity, n = RULES[rule].severity, linter.looked_at(rule)
            findings.append(Finding(rule, severity, len(found), n, examples=tuple(examples)))
    return findings


async def _places(parts: Sequence[Part], numbers: set[int]) -> dict[int, tuple[str, str]]:
    """Where the pairs with these numbers are, and the beginning of their prompts: the source is read again as far as needed."""
    places: dict[int, tuple[str, str]] = {}
    if numbers:
        last = max(numbers)
        async with aclosing(_numbered(parts)) as pairs:
            async for number, where, pair in pairs:
                if number in numbers:
                    places[number] = (where, prompt_text(pair.messages)[:QUOTED])
                if number == last:
                    break
    return places


async def _numbered(parts: Sequence[Part]) -> AsyncGenerator[tuple[int, str, RowPair], None]:
    number = 0
    for part in parts:
        async for row in part.rows():
            if not isinstance(row.found, str):
                yield number, row.where, row.found
                number += 1
                if number % ROWS_BETWEEN_TURNS == 0:
                    await asyncio.sleep(0)
