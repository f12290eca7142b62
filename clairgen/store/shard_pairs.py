"""Copies a shard's pairs into a run, with what belongs to them and what people said of them, in the transaction of a merge."""

from typing import Final

from clairgen.store.attached_shard import AttachedShard
from clairgen.store.completions import now
from clairgen.store.revisions import HUMAN_REVISION
from clairgen.store.votes import BLIND_VOTE

OF_PAIRS: Final = ("pair_requests", "failures", "filter_results", "scores", "advice", "judgements")
"""Tables whose rows come with the pair that they belong to."""
_SAME_EDIT = (
    "r.pair_id = s.pair_id AND r.editor = s.editor AND r.text = s.text AND r.note IS s.note "
    "AND r.created_at = s.created_at"
)
_COLUMNS_OF_VOTES = "pair_id, voter, vote, note, created_at, outdated_at"
_VALUES = {
    "number": "number + :added",
    "filter_set": "iif(filter_set = :before, :now_in_force, NULL)",
    "position": f"position + iif(recipe = '{HUMAN_REVISION}', :revised, 0)",  # which is no task's
}
_PROGRESS = "CASE {}.status WHEN 'made' THEN 2 WHEN 'failed' THEN 1 ELSE 0 END"


class ShardPairs:
    """The pairs of one shard that the run lacks, or has only pending or failed where the shard's is further.

    `copy_pairs` comes first.
    """

    def __init__(self, shard: AttachedShard) -> None:
        self._shard = shard
        self._name = shard.name
        self._has_all = True

    async def copy_pairs(self) -> None:
        """Copy the pairs and their texts, under numbers above all of the run; count those that it has with other answers."""
        await self._compare()
        if not self._has_all:
            await self._shard.run(f"DELETE FROM main.pairs WHERE {self._are_copied('id')}")
        revised = f"SELECT coalesce(max(position), 0) FROM main.pairs WHERE recipe = '{HUMAN_REVISION}'"
        before, now_in_force = self._shard.shard.findings or (None, None)
        values = {
            "added": await self._shard.number("SELECT coalesce(max(number), 0) FROM main.pairs"),
            "before": before,
            "now_in_force": now_in_force,
            "revised": await self._shard.number(revised),
        }
        columns = await self._shard.columns("pairs")
        await self._shard.add(
            "pairs",
            f"INSERT INTO main.pairs ({', '.join(columns)}) SELECT {', '.join(_VALUES.get(name, name) for name in columns)} "
            f"FROM {self._name}.pairs WHERE {self._are_copied('id')} ORDER BY number",
            values,
        )
        await self._shard.run(
            "INSERT INTO main.pair_texts (pair, chosen, rejected, unparsed, reasoning) SELECT pair + :added, chosen, rejected, "
            f"unparsed, reasoning FROM {self._name}.pair_texts WHERE {self._are_copied('pair', 'number')} ORDER BY pair",
            values,
        )

    async def copy_of_pairs(self, table: str) -> None:
        """Copy the rows of one of OF_PAIRS that belong to the pairs; others that the run has of them go."""
        column, taken = ("(task_id, recipe)", "task_id, recipe") if table == "judgements" else ("pair_id", "id")
        is_copied = self._are_copied(column, taken)
        if not self._has_all:
            # The key of filter_results begins with the set.
            of_all_sets = " AND filter_set IN (SELECT id FROM main.filter_sets)" if table == "filter_results" else ""
            await self._shard.run(f"DELETE FROM main.{table} WHERE {is_copied}{of_all_sets}")
        if table == "filter_results":
            before, now_in_force = self._shard.shard.findings or (None, None)
            await self._shard.run(
                "INSERT INTO main.filter_results SELECT ?2, pair_id, position, filter, action, reason, value "
                f"FROM {self._name}.filter_results WHERE filter_set = ?1 AND {is_copied}",
                (before, now_in_force),
            )
        else:
            await self._shard.run(f"INSERT INTO main.{table} SELECT * FROM {self._name}.{table} WHERE {is_copied}")

    async def copy_later_advice(self) -> None:
        """Copy what was advised of pairs that the run has with the same chosen answer."""
        s = self._name
        await self._shard.run(
            f"INSERT OR IGNORE INTO main.advice SELECT a.* FROM {s}.advice a CROSS JOIN {s}.pairs s ON s.id = a.pair_id "
            "CROSS JOIN main.pairs p ON p.id = s.id CROSS JOIN main.pair_texts t ON t.pair = p.number "
            f"CROSS JOIN {s}.pair_texts o ON o.pair = s.number AND o.chosen IS t.chosen"
        )

    async def copy_revisions(self) -> None:
        """Copy the edits that the run lacks, and which of them were replaced."""
        s = self._name
        columns = ", ".join(name for name in await self._shard.columns("revisions") if name != "id")
        await self._shard.add(
            "revisions",
            f"INSERT INTO main.revisions ({columns}) SELECT {columns} FROM {s}.revisions s "
            f"WHERE NOT EXISTS (SELECT 1 FROM main.revisions r WHERE {_SAME_EDIT}) ORDER BY id",
        )
        await self._shard.run(
            f"UPDATE main.revisions AS r SET replaced_at = s.replaced_at FROM {s}.revisions s "
            f"WHERE {_SAME_EDIT} AND r.replaced_at IS NULL AND s.replaced_at IS NOT NULL"
        )

    async def remove_replaced(self) -> None:
        """Take out of the run the pairs of all edits that were replaced, once the edits of all shards are there."""
        replaced = (
            f"SELECT p.id FROM main.pairs p WHERE p.recipe = '{HUMAN_REVISION}' AND NOT EXISTS "
            "(SELECT 1 FROM main.revisions r WHERE r.pair_id = p.id AND r.replaced_at IS NULL)"
        )
        if not await self._shard.number(f"SELECT EXISTS ({replaced})"):
            return
        for table in ("filter_results", "pair_requests", "advice"):
            await self._shard.run(f"DELETE FROM main.{table} WHERE pair_id IN ({replaced})")
        await self._shard.run(f"DELETE FROM main.pairs WHERE id IN ({replaced})")

    async def copy_votes(self) -> None:
        """Copy the votes that the run lacks, and which were blind.

        All on the same pairs are put in order again, since the latest one counts.
        """
        s, run = self._name, self._shard.run
        await run(f"CREATE TEMP TABLE votes_{s} AS SELECT * FROM main.votes WHERE false")
        await run(
            f"INSERT OR IGNORE INTO main.meta SELECT key, value FROM {s}.meta WHERE substr(key, 1, ?) = ?",
            (len(BLIND_VOTE), BLIND_VOTE),
        )
        await self._shard.add(
            "votes",
            f"INSERT INTO temp.votes_{s} (id, {_COLUMNS_OF_VOTES}) SELECT s.id, s.pair_id, s.voter, s.vote, s.note, "
            "s.created_at, coalesce(s.outdated_at, iif(t.chosen IS u.chosen AND t.rejected IS u.rejected, NULL, ?)) "
            f"FROM {s}.votes s LEFT JOIN main.pairs p ON p.id = s.pair_id LEFT JOIN main.pair_texts t ON t.pair = p.number "
            f"LEFT JOIN {s}.pairs o ON o.id = s.pair_id LEFT JOIN {s}.pair_texts u ON u.pair = o.number "
            "WHERE NOT EXISTS (SELECT 1 FROM main.votes v WHERE v.pair_id = s.pair_id AND v.voter = s.voter AND v.vote = s.vote "
            "AND v.note IS s.note AND v.created_at = s.created_at)",
            (now(),),
        )
        if self._shard.added["votes"]:
            touched = f"pair_id IN (SELECT pair_id FROM temp.votes_{s})"
            await run(f"INSERT INTO temp.votes_{s} SELECT * FROM main.votes WHERE {touched}")
            await run(f"DELETE FROM main.votes WHERE {touched}")
            await run(
                f"INSERT INTO main.votes ({_COLUMNS_OF_VOTES}) SELECT {_COLUMNS_OF_VOTES} FROM temp.votes_{s} "
                "ORDER BY created_at, id"
            )
        await run(f"DROP TABLE temp.votes_{s}")

    async def forget(self) -> None:
        """Drop what was noted for the copy."""
        await self._shard.run(f"DROP TABLE IF EXISTS temp.taken_{self._name}")

    async def _compare(self) -> None:
        """Find out which pairs are copied, and count those that the run has with other answers.

        A cross join is SQLite's way to begin with the shard, whatever it expects: the run has many times as many rows.
        """
        s = self._name
        in_both = f"SELECT 1 FROM {s}.pairs s CROSS JOIN main.pairs p ON p.id = s.id"
        self._has_all = not await self._shard.number(f"SELECT EXISTS ({in_both})")
        if self._has_all:
            return
        self._shard.pairs = await self._shard.differing(
            f"SELECT count(*), min(s.id) FROM {s}.pairs s CROSS JOIN {s}.pair_texts o ON o.pair = s.number "
            "CROSS JOIN main.pairs p ON p.id = s.id CROSS JOIN main.pair_texts t ON t.pair = p.number WHERE s.status = 'made' "
            "AND p.status = 'made' AND (t.chosen IS NOT o.chosen OR t.rejected IS NOT o.rejected)"
        )
        await self._shard.run(
            f"CREATE TEMP TABLE taken_{s} (id TEXT PRIMARY KEY, number INTEGER, task_id TEXT, recipe TEXT) WITHOUT ROWID"
        )
        await self._shard.run(
            f"INSERT INTO temp.taken_{s} SELECT s.id, s.number, s.task_id, s.recipe FROM {s}.pairs s LEFT JOIN main.pairs p "
            f"ON p.id = s.id WHERE p.id IS NULL OR {_PROGRESS.format('s')} > {_PROGRESS.format('p')}"
        )

    def _are_copied(self, column: str, taken: str = "id") -> str:
        """The condition, in SQL, that a row belongs to a pair that is copied; `taken` are the columns of those that it has."""
        return "true" if self._has_all else f"{column} IN (SELECT {taken} FROM temp.taken_{self._name})"
