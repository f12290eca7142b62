"""The reference of what is written: the tables of run.db, the columns of exports, JSON reports, errors and findings."""

import contextlib
import inspect
import re
import sqlite3
import textwrap
from collections.abc import Iterator, Mapping

import clairgen.errors
import clairgen.reporting.report
import clairgen.reporting.training.report
from clairgen.exporting.columns import ADVICE_COLUMNS, CONFIRMED_COLUMNS, CONTENT_COLUMNS, PROVENANCE_COLUMNS
from clairgen.reporting.lint.rules import RULES as LINT_RULES
from clairgen.reporting.training.diagnostics.registry import RULES
from clairgen.store.schema import FUNCTIONS, MIGRATIONS, VERSION
from docs.generator.markdown import code, fenced, table

_TABLE_COMMENT = re.compile(r"CREATE TABLE (\w+) \([ \t]*(?:-- *(.*))?")
_RENAMED = re.compile(r"ALTER TABLE (\w+) RENAME TO (\w+)")
_COLUMN_COMMENT = re.compile(r"ALTER TABLE (\w+) (?:RENAME COLUMN \w+ TO|ADD COLUMN) (\w+)[\w ]*;[ \t]*-- *(.*)")


def tables() -> str:
    """Every table of the schema that this version writes, with its columns."""
    script = "\n".join(MIGRATIONS)
    renamed = dict(_RENAMED.findall(script))
    about = {renamed.get(name, name): comment for name, comment in _TABLE_COMMENT.findall(script)}
    notes = {(renamed.get(name, name), column): note for name, column, note in _COLUMN_COMMENT.findall(script)}
    parts = [f"The schema's version is {VERSION}."]
    for name, columns in _schema().items():
        comment = about.get(name, "")
        rows = (
            (code(column), kind, "; ".join(filter(None, (facts, notes.get((name, column))))))
            for column, kind, facts in columns
        )
        parts += [f"## {name} {{ #{name} }}", _sentence(comment), table(("column", "type", ""), rows)]
    return "\n\n".join(filter(None, parts))


def _schema() -> dict[str, list[tuple[str, str, str]]]:
    """The columns of every table of a new run, each with its type and what holds for its values."""
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        for function, (arguments, does) in FUNCTIONS.items():
            database.create_function(function, arguments, does)
        database.executescript("\n".join(MIGRATIONS))
        names = database.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rowid").fetchall()
        return {name: list(_columns(database, name)) for (name,) in names}


def _columns(database: sqlite3.Connection, name: str) -> Iterator[tuple[str, str, str]]:
    for _, column, kind, not_null, default, key in database.execute(f"PRAGMA table_info({name})").fetchall():
        facts = [
            "primary key" if key else "",
            "never null" if not_null and not key else "",
            f"{code(default)} by default" if default is not None else "",
        ]
        yield column, kind or "any", ", ".join(filter(None, facts))


def _sentence(comment: str) -> str:
    return f"{comment[:1].upper()}{comment[1:]}." if comment else ""


def export_columns() -> str:
    """The columns of each format of an export, and those that all share."""
    parts = []
    for name, columns in CONTENT_COLUMNS.items():
        parts += [f"### {name} {{ #export-{name} }}", _column_table(columns)]
    parts += ["### In every format", _column_table(PROVENANCE_COLUMNS)]
    parts += ["### In `preference`, after `clairgen advise --per-pair`", _column_table(ADVICE_COLUMNS)]
    parts += ["### In every format, with `--keep-identical`", _column_table(CONFIRMED_COLUMNS)]
    return "\n\n".join(parts)


def _column_table(columns: Mapping[str, str]) -> str:
    return table(("column", "what it holds"), ((code(name), does) for name, does in columns.items()))


def report_json() -> str:
    """The object of `report --json`."""
    return _object_and_words(inspect.cleandoc(clairgen.reporting.report.__doc__ or ""))


def training_json() -> str:
    """The object of `report --training --json`."""
    return _object_and_words(inspect.cleandoc(clairgen.reporting.training.report.__doc__ or ""))


def _object_and_words(docstring: str) -> str:
    """The indented object of a docstring, and the paragraphs after it."""
    head, _, rest = docstring.partition("\n\n    ")
    del head
    shown, _, words = f"    {rest}".partition("\n\n")
    return f"{fenced(textwrap.dedent(shown), 'text')}\n\n{words}"


def errors() -> str:
    """The tree at the top of errors.py."""
    words = inspect.cleandoc(clairgen.errors.__doc__ or "").split("\n\n")
    return fenced(textwrap.dedent(next(part for part in words if part.startswith("    "))), "text")


def lint_rules() -> str:
    """Every rule of lint with its severity, what it counts and what to do."""
    rows = ((code(rule.name), rule.severity.value, rule.counts, rule.advice) for rule in LINT_RULES.values())
    return table(("finding", "severity", "counted", "what to do"), rows)


def diagnostics() -> str:
    """Every rule over a training run, by the name of its finding."""
    rows = ((code(name), inspect.cleandoc(rule.__doc__ or "").partition("\n\n")[0]) for name, rule in RULES.items())
    return table(("finding", "what was seen"), rows)
