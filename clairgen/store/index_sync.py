"""Keeps the index of a run's pairs up to date with `run.db`, in transactions that can stop anywhere and go on later.

At first all made pairs are read, a group at a time; then those that `pair_changes` names. Texts of a pair change only with the
moment at which it was made, so a changed verdict of a filter costs no text. New filter settings change all verdicts at once.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiosqlite

from clairgen.metrics.contrast import METRICS_VERSION
from clairgen.records import OVERALL, FilterAction
from clairgen.store.connection import store_errors, transaction
from clairgen.store.file_systems import is_shared
from clairgen.store.pair_index import FORMAT, RECIPE_BITS, SCHEMA, SORTED, VERSION_BITS, IndexState, open_index
from clairgen.store.pair_rows import LOST_BY
from clairgen.store.reader import Reader

_GROUP: Final = 20_000
_MERGED_PAGES: Final = 4_000
_MEASURED: Final = f"p.parse_status = 'ok' AND p.metrics_version = {METRICS_VERSION}"
_SCORE: Final = (
    "(SELECT iif(count(s.value) = count(*), avg(s.value), NULL) FROM run.scores s WHERE s.pair_id = p.id "
    f"AND s.criterion = '{OVERALL}' AND s.side = '%s')"
)
_FIGURES: Final = (
    f"julianday(p.made_at), iif({_MEASURED}, p.jaccard, NULL), iif({_MEASURED}, p.levenshtein, NULL), "
    f"iif({_MEASURED}, p.length_ratio, NULL), {_SCORE % 'chosen'} - {_SCORE % 'rejected'}, "
    "characters(t.chosen) - characters(t.rejected)"
)
_LAST_REPLY: Final = (
    "coalesce(t.unparsed, (SELECT c.text FROM run.pair_requests r JOIN run.completions c ON c.key = r.key "
    "WHERE r.pair_id = p.id AND r.purpose = 'chosen'))"
)
_BASE: Final = f"(r.number << {RECIPE_BITS}) | (p.position << {VERSION_BITS})"
_MOST_VERSIONS: Final = 1 << VERSION_BITS
_OF_FRESH: Final = (
    "FROM temp.fresh f CROSS JOIN run.pairs p ON p.number = f.pair CROSS JOIN run.pair_texts t ON t.pair = p.number"
)

_ADD: Final = (
    f"""INSERT INTO docs (doc, pair_id, made, jaccard, levenshtein, length_ratio, score_difference, character_difference)
        SELECT f.doc, p.id, {_FIGURES} {_OF_FRESH} ORDER BY f.doc""",
    f"""INSERT INTO search (rowid, prompt, chosen, rejected)
        SELECT f.doc, (SELECT prompt_text(m.body) FROM run.messages m WHERE m.hash = p.prompt),
        spaced(iif(t.chosen IS NULL, {_LAST_REPLY}, t.chosen)), spaced(t.rejected) {_OF_FRESH} ORDER BY f.doc""",
    f"""INSERT OR IGNORE INTO facets (facet, doc)
        SELECT facet_number('column', c.key, iif(c.type IN ('true', 'false'), c.type, CAST(c.value AS TEXT))), f.doc
        {_OF_FRESH} CROSS JOIN json_each(p.source_columns) c WHERE c.type <> 'null'""",
)
"""What puts fresh documents in; their verdicts are put in by _JUDGE."""

_VERDICTS: Final = (
    f"SELECT f.doc, iif({LOST_BY} IS NULL, 'kept', 'dropped') AS kind, coalesce({LOST_BY}, '') AS name {_OF_FRESH} "
    f"UNION ALL SELECT f.doc, 'mark', v.reason {_OF_FRESH} CROSS JOIN run.filter_results v "
    f"ON v.filter_set = p.filter_set AND v.pair_id = p.id AND v.action = '{FilterAction.MARK.value}'"
)
_JUDGE: Final = (
    f"CREATE TEMP TABLE verdicts AS SELECT doc, kind, name, facet_number(kind, name, '') AS facet FROM ({_VERDICTS})",
    "INSERT OR IGNORE INTO reasons (facet, kind, name) SELECT DISTINCT facet, kind, name FROM temp.verdicts",
    "INSERT OR IGNORE INTO facets (facet, doc) SELECT facet, doc FROM temp.verdicts ORDER BY facet, doc",
    "DROP TABLE temp.verdicts",
    "DELETE FROM temp.fresh",
)
_FORGET_VERDICTS: Final = "DELETE FROM facets WHERE facet IN (SELECT facet FROM reasons)"


class IndexSync:
    """One index and the run that it is of, on one connection; at most about `group` pairs are put in with one transaction."""

    def __init__(self, connection: aiosqlite.Connection, path: Path, group: int) -> None:
        self._connection = connection
        self._reader = Reader(connection, path)
        self._path = path
        self._group = group

    async def step(self) -> bool:
        """Go on by one transaction; false once nothing is left to do. Raises StoreError."""
        with store_errors(self._path):
            async with transaction(self._connection):
                known, run = await self._known(), await self._of_run()
                if not await self._is_of(known, run):
                    await self._start_over(run)
                elif known["complete"] == "no":
                    await self._fill(known)
                elif known["filter_set"] != run["filter_set"]:
                    await self._judge_again(run["filter_set"])
                elif int(known["change"]) < int(run["change"]):
                    await self._follow(int(known["change"]))
                elif known["counted"] == "no":
                    await self._count()
                elif known["merged"] != "yes":
                    await self._merge(known["merged"])
                else:
                    return False
        return True

    async def state(self) -> IndexState:
        """How far the index is."""
        known, run = await self._known(), await self._of_run()
        changes = int(run["change"]) - int(known.get("change", 0))
        complete = known.get("complete") == "yes"
        return IndexState(int(known.get("pairs", 0)), int(known.get("of", 0)), complete, changes if complete else 0)

    async def _known(self) -> dict[str, str]:
        if not await self._reader.rows("SELECT 1 FROM main.sqlite_schema WHERE name = 'state'"):
            return {}
        return {row["key"]: row["value"] for row in await self._reader.rows("SELECT key, value FROM state")}

    async def _of_run(self) -> dict[str, str]:
        """What the index has to follow: the run's id, its filter set in force, and the last change of a pair."""
        sql = "SELECT key, value FROM run.meta WHERE key IN ('run_id', 'filter_set')"
        found = {row["key"]: row["value"] for row in await self._reader.rows(sql)}
        last = await self._reader.value("SELECT coalesce(max(change), 0) FROM run.pair_changes")
        return {"run_id": found.get("run_id", ""), "filter_set": found.get("filter_set", ""), "change": str(last)}

    async def _is_of(self, known: dict[str, str], run: dict[str, str]) -> bool:
        """Whether the index is one of this run, as it went on: a run may be deleted and made again, or restored from a backup."""
        if (known.get("format"), known.get("run_id")) != (f"{FORMAT} {METRICS_VERSION}", run["run_id"]):
            return False
        pair = await self._reader.value("SELECT pair_id FROM run.pair_changes WHERE change = ?", (known["change"],))
        behind, size = int(run["change"]) - int(known["change"]), max(int(known["pairs"]), _GROUP)
        return (pair or "") == known["changed_pair"] and (known["complete"] == "no" or behind < size)

    async def _put(self, **values: object) -> None:
        rows = [(key, str(value)) for key, value in values.items()]
        await self._connection.executemany("INSERT OR REPLACE INTO state (key, value) VALUES (?, ?)", rows)

    async def _seen(self, change: int) -> dict[str, object]:
        """What is kept of the last change that the index has seen."""
        pair = await self._reader.value("SELECT pair_id FROM run.pair_changes WHERE change = ?", (change,))
        return {"change": change, "changed_pair": pair or ""}

    async def _start_over(self, run: dict[str, str]) -> None:
        tables = "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'search%'"
        for row in await self._reader.rows(tables):
            await self._connection.execute(f"DROP TABLE main.{row['name']}")
        await self._connection.execute("DROP TABLE IF EXISTS main.search")
        await self._run(*SCHEMA)
        of = await self._reader.value("SELECT count(*) FROM run.pairs WHERE status = 'made'")
        state = {"format": f"{FORMAT} {METRICS_VERSION}", "run_id": run["run_id"], "filter_set": run["filter_set"]}
        seen = await self._seen(int(run["change"]))
        await self._put(
            **state, **seen, complete="no", counted="no", merged="no", recipe="", position=0, pairs=0, of=of
        )

    async def _fill(self, known: dict[str, str]) -> None:
        """Put the next group of all pairs in."""
        recipe, after = known["recipe"], int(known["position"])
        made = "WHERE recipe = ? AND status = 'made' AND position > ?"
        last = None
        while last is None:
            last = await self._reader.value(
                f"SELECT max(position) FROM (SELECT position FROM run.pairs {made} ORDER BY position LIMIT ?)",
                (recipe, after, self._group),
            )
            if last is None:
                after = 0
                next_one = "SELECT min(recipe) FROM run.pairs WHERE recipe > ?"
                recipe = await self._reader.value(next_one, (recipe,))
                if recipe is None:
                    await self._finish()
                    return
        await self._connection.execute("INSERT OR IGNORE INTO recipes (name) VALUES (?)", (recipe,))
        await self._connection.execute(
            "INSERT INTO temp.fresh (doc, pair) SELECT "
            f"{_BASE} | (row_number() OVER (PARTITION BY p.position ORDER BY p.id) - 1), p.number "
            "FROM recipes r CROSS JOIN run.pairs p ON p.recipe = r.name "
            "WHERE r.name = ? AND p.status = 'made' AND p.position > ? AND p.position <= ?",
            (recipe, after, last),
        )
        added = await self._reader.value("SELECT count(*) FROM temp.fresh")
        await self._run(*_ADD, *_JUDGE)
        await self._put(recipe=recipe, position=last, pairs=int(known["pairs"]) + added)

    async def _finish(self) -> None:
        await self._run(*SORTED)
        await self._put(complete="yes")

    async def _judge_again(self, filter_set: str) -> None:
        """Take the verdicts of a new filter set for all pairs."""
        await self._run(_FORGET_VERDICTS)
        await self._run(
            "INSERT INTO temp.fresh (doc, pair) SELECT d.doc, p.number FROM docs d CROSS JOIN run.pairs p ON p.id = d.pair_id",
            *_JUDGE,
        )
        await self._put(filter_set=filter_set, counted="no")

    async def _follow(self, since: int) -> None:
        """Take the next group of changed pairs: whole if they have other answers, else only their verdicts and figures."""
        last = await self._reader.value(
            "SELECT max(change) FROM (SELECT change FROM run.pair_changes WHERE change > ? ORDER BY change LIMIT ?)",
            (since, self._group),
        )
        await self._connection.execute(
            "INSERT INTO temp.changed (pair_id, pair) SELECT DISTINCT c.pair_id, p.number FROM run.pair_changes c "
            "LEFT JOIN run.pairs p ON p.id = c.pair_id AND p.status = 'made' WHERE c.change > ? AND c.change <= ?",
            (since, last),
        )
        await self._run(
            "INSERT INTO temp.old (doc, pair_id, is_same) SELECT d.doc, d.pair_id, coalesce(d.made = julianday(p.made_at), 0) "
            "FROM temp.changed c CROSS JOIN docs d ON d.pair_id = c.pair_id LEFT JOIN run.pairs p ON p.number = c.pair",
            f"{_FORGET_VERDICTS} AND doc IN (SELECT doc FROM temp.old)",
            "INSERT OR IGNORE INTO dead (doc) SELECT doc FROM temp.old WHERE NOT is_same",
            "DELETE FROM docs WHERE doc IN (SELECT doc FROM temp.old WHERE NOT is_same)",
            "INSERT OR IGNORE INTO recipes (name) SELECT DISTINCT p.recipe FROM temp.changed c "
            "JOIN run.pairs p ON p.number = c.pair",
        )
        new = await self._new_documents()
        if new is None:
            await self._put(format="")  # more versions of a pair than fit: begin again
        else:
            await self._run(*_ADD)
            await self._measure_again()
            await self._run(*_JUDGE)
            gone = await self._reader.value("SELECT count(*) FROM temp.old WHERE NOT is_same")
            pairs = await self._reader.value("SELECT value FROM state WHERE key = 'pairs'")
            await self._put(**await self._seen(last), counted="no", pairs=int(pairs) + new - gone)
        await self._run("DELETE FROM temp.changed", "DELETE FROM temp.old", "DELETE FROM temp.fresh")

    async def _new_documents(self) -> int | None:
        """Give each changed pair without a document a fresh one, and return how many; None if one has no version left."""
        sql = (
            f"SELECT {_BASE} AS base, p.number AS pair FROM temp.changed c CROSS JOIN run.pairs p ON p.number = c.pair "
            "CROSS JOIN recipes r ON r.name = p.recipe WHERE NOT EXISTS (SELECT 1 FROM docs d WHERE d.pair_id = c.pair_id)"
        )
        fresh: dict[int, int] = {}
        for row in await self._reader.rows(sql):
            base = row["base"]
            used = await self._reader.value(
                "SELECT max(coalesce((SELECT max(doc) FROM docs WHERE doc BETWEEN ?1 AND ?2), -1), "
                "coalesce((SELECT max(doc) FROM dead WHERE doc BETWEEN ?1 AND ?2), -1))",
                (base, base + _MOST_VERSIONS - 1),
            )
            doc = max(base, used + 1)
            while doc in fresh:
                doc += 1
            if doc >= base + _MOST_VERSIONS:
                return None
            fresh[doc] = row["pair"]
        await self._connection.executemany("INSERT INTO temp.fresh (doc, pair) VALUES (?, ?)", list(fresh.items()))
        return len(fresh)

    async def _measure_again(self) -> None:
        """Bring the figures of documents with the same texts up to date, and have their verdicts taken with the fresh ones'."""
        await self._run(
            "UPDATE docs SET (made, jaccard, levenshtein, length_ratio, score_difference, character_difference) = "
            f"(SELECT {_FIGURES} FROM run.pairs p JOIN run.pair_texts t ON t.pair = p.number WHERE p.id = docs.pair_id) "
            "WHERE doc IN (SELECT doc FROM temp.old WHERE is_same)",
            "INSERT INTO temp.fresh (doc, pair) SELECT o.doc, c.pair FROM temp.old o JOIN temp.changed c USING (pair_id) "
            "WHERE o.is_same",
        )

    async def _count(self) -> None:
        """Count the pairs of each recipe by verdict."""
        bits = RECIPE_BITS
        await self._run(
            "DELETE FROM counts",
            "INSERT INTO counts (recipe, facet, pairs) SELECT r.number, q.facet, (SELECT count(*) FROM facets f "
            f"WHERE f.facet = q.facet AND f.doc BETWEEN r.number << {bits} AND ((r.number + 1) << {bits}) - 1) AS pairs "
            "FROM recipes r CROSS JOIN reasons q WHERE pairs > 0",
        )
        await self._put(counted="yes")

    async def _merge(self, merged: str) -> None:
        """Go on to put all parts of the full text into one, in which a word is found faster."""
        # A negative number begins a merge of all parts, a positive one goes on with it.
        pages = _MERGED_PAGES if merged == "begun" else -_MERGED_PAGES
        before = self._connection.total_changes
        await self._connection.execute("INSERT INTO search (search, rank) VALUES ('merge', ?)", (pages,))
        await self._put(merged="begun" if self._connection.total_changes - before >= 2 else "yes")

    async def _run(self, *statements: str) -> None:
        for statement in statements:
            await self._connection.execute(statement)


@asynccontextmanager
async def syncing(path: Path, database: Path, group: int = _GROUP) -> AsyncIterator[IndexSync]:
    """The index at `path` of the run whose database is `database`, which is only read. Raises StoreError."""
    connection = await open_index(path, writes=True)
    try:
        with store_errors(database):
            await connection.execute("ATTACH ? AS run", (f"{database.resolve().as_uri()}?mode=ro",))
            if is_shared(database):
                await connection.execute("PRAGMA run.locking_mode = EXCLUSIVE")  # it refuses a write-ahead log
            for table in (
                "fresh (doc INTEGER PRIMARY KEY, pair INTEGER NOT NULL)",
                "changed (pair_id TEXT PRIMARY KEY, pair INTEGER)",
                "old (doc INTEGER PRIMARY KEY, pair_id TEXT NOT NULL, is_same INTEGER NOT NULL)",
            ):
                await connection.execute(f"CREATE TEMP TABLE {table}")
        yield IndexSync(connection, path, group)
    finally:
        await connection.close()
