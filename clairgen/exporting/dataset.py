"""Writing pairs into a data set folder, atomically: the folder is complete or does not exist."""

import contextlib
import hashlib
import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self

from clairgen.errors import ConfigError, InputError
from clairgen.exporting.balanced_lengths import LEFT_OUT_FILE, BalancedLengths, left_out_lines
from clairgen.exporting.columns import (
    ExportFormat,
    ExportSummary,
    exported_name,
    features,
    is_test,
)
from clairgen.exporting.dataset_card import CARD_MARK, CardFacts, card
from clairgen.exporting.exported_rows import rows_of
from clairgen.exporting.reference_answers import NO_REFERENCE, ReferenceAnswer, References
from clairgen.exporting.shards import ROWS_PER_SHARD, FileFormat, ShardedSplit
from clairgen.exporting.thoughts import NO_THOUGHTS, ONE_SIDED, PairThoughts, ThinkingField
from clairgen.filters.identical import IDENTICAL, is_identical
from clairgen.filters.pipeline import reason_to_skip
from clairgen.installed import require_data_extra
from clairgen.patterns import lazy_pattern
from clairgen.records import Pair, StoredPair

NO_FEEDBACK: Final = "no-feedback"
"""The reason for which the format `sdpo` leaves a pair out of which no reviser said what is to be better."""
_SUBSET_NAME = lazy_pattern(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class DatasetWriter:
    """Writes pairs as a folder with one subset for each recipe, split into train and test, and a card.

    Everything is written to a hidden folder next to `folder`, which `finish` renames; without that call nothing remains.
    Raises InputError if `folder` is not empty, unless it is an export of clairgen and `overwrite` is set. `advised` adds the
    column `objective` to pairs. `confirming` names the recipes whose pairs with two equal answers are kept, since they
    revise, and adds the column `confirmed`; None keeps none. `thinking` is the field of answers that holds their thoughts, None
    without. `votes` has what people said of pairs, by their ids, and adds the column `vote`; None for no such column.
    `source_columns` are the further columns of pairs, with what they hold. `revising` names the recipes whose reasoning
    is about the rejected answer, which `sdpo` has as feedback; `references` says where those of `tpo` are from.
    """

    def __init__(
        self,
        folder: Path,
        export_format: ExportFormat = ExportFormat.PREFERENCE,
        test_fraction: float = 0.0,
        seed: int = 0,
        *,
        overwrite: bool = False,
        advised: bool = False,
        confirming: Collection[str] | None = None,
        thinking: ThinkingField | None = None,
        votes: Mapping[str, str] | None = None,
        source_columns: Mapping[str, str] = MappingProxyType({}),
        revising: Collection[str] = (),
        references: References | None = None,
        file_format: FileFormat = FileFormat.PARQUET,
        rows_per_shard: int = ROWS_PER_SHARD,
    ) -> None:
        require_data_extra()
        if not 0 <= test_fraction < 1:
            raise ConfigError(f"The test fraction must be at least 0 and below 1, not {test_fraction:g}.")
        self._folder = folder.resolve()
        _require_free(self._folder, overwrite=overwrite)
        self._format = export_format
        self._file_format = file_format
        self._revising = revising
        self._references = references
        self._test_fraction = test_fraction
        self._seed = seed
        self._rows_per_shard = rows_per_shard
        self._advised = advised and export_format is ExportFormat.PREFERENCE
        self._confirming = confirming
        self._thinking = thinking
        self._votes = votes
        self._source_columns = source_columns
        self._schema = features(
            export_format,
            advised=self._advised,
            confirmed=confirming is not None,
            voted=votes is not None,
            thinking=thinking,
            source_columns=source_columns,
        ).arrow_schema
        self._partial = self._folder.with_name(f".{self._folder.name}.partial")
        self._splits: dict[str, dict[str, ShardedSplit]] = defaultdict(dict)
        self._skipped: Counter[str] = Counter()
        self._confirmed: Counter[str] = Counter()
        self._with_thoughts: Counter[str] = Counter()
        self._files: list[str] = []

    def __enter__(self) -> Self:
        with _disk_errors(self._folder):
            shutil.rmtree(self._partial, ignore_errors=True)  # left over from a killed export
            self._partial.mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for splits in self._splits.values():
            for split in splits.values():
                split.abandon()
        shutil.rmtree(self._partial, ignore_errors=True)

    def add(
        self,
        stored: StoredPair,
        matched: bool = True,
        thoughts: PairThoughts = NO_THOUGHTS,
        unbalanced: str | None = None,
        reference: ReferenceAnswer | None = None,
    ) -> bool:
        """Write a pair and return True, or count the reason why it is skipped; an unmatched pair is skipped too.

        `unbalanced` is the reason to skip a pair that a selection by length leaves out. With thoughts before some of its
        answers only it is skipped as well, unless only chosen answers are written.
        """
        recipe = stored.outcome.recipe
        reason = self.reason_to_skip(stored, thoughts, reference) or (None if matched else "unmatched") or unbalanced
        if reason is not None:
            self._skipped[reason] += 1
            return False
        confirmed = self._keeps_identical(recipe) and isinstance(stored.outcome, Pair) and is_identical(stored.outcome)
        self._confirmed[recipe] += confirmed
        self._with_thoughts[recipe] += bool(thoughts.chosen)
        split = self._split_for(stored)
        column = None if self._confirming is None else confirmed
        for row in rows_of(
            stored,
            self._format,
            advised=self._advised,
            confirmed=column,
            thinking=self._thinking,
            thoughts=thoughts,
            votes=self._votes,
            source_columns=self._source_columns,
            reference=reference,
        ):
            try:
                split.add(row)
            except OSError as error:
                raise _not_written(self._folder, error) from error
        return True

    def reason_to_skip(
        self, stored: StoredPair, thoughts: PairThoughts = NO_THOUGHTS, reference: ReferenceAnswer | None = None
    ) -> str | None:
        """Why a pair is not written: filters drop it, or it lacks what the format needs; None if it is."""
        reason = reason_to_skip(stored, keep_identical=self._keeps_identical(stored.outcome.recipe))
        if reason is not None:
            return reason
        if self._format is ExportFormat.TPO:
            if reference is None:
                return NO_REFERENCE
            if bool(reference.thoughts) != bool(thoughts.chosen):
                return ONE_SIDED
        if self._format is ExportFormat.SDPO:
            reasoning = stored.outcome.reasoning or ""
            return None if stored.outcome.recipe in self._revising and reasoning.strip() else NO_FEEDBACK
        return ONE_SIDED if thoughts.is_one_sided and self._format.has_both_answers else None

    def reasons_to_read(self, recipe: str) -> list[str]:
        """The reasons for which a pair of a recipe may be lost and written all the same: others need not be read."""
        return [IDENTICAL.name] if self._keeps_identical(recipe) else []

    def skip(self, lost: Mapping[str, int]) -> None:
        """Count pairs that are lost for these reasons and were not read."""
        self._skipped.update(lost)

    def _keeps_identical(self, recipe: str) -> bool:
        return self._confirming is not None and recipe in self._confirming

    def add_lines(self, name: str, lines: Iterable[Mapping[str, Any]]) -> None:
        """Write a file of JSON objects beside the subsets, unless there is none."""
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        if text:
            with _disk_errors(self._folder):
                (self._partial / name).write_text(text, encoding="ascii")
            self._files.append(name)

    def finish(
        self,
        facts: CardFacts | None = None,
        pending: Mapping[str, int] | None = None,
        rows_read: int | None = None,
        balanced: Mapping[str, BalancedLengths] | None = None,
        missing_shards: tuple[str, ...] = (),
    ) -> ExportSummary:
        """Close the files, write the card and rename the folder; InputError if there is no pair to export.

        `pending` counts the pairs of each recipe that are still to be made, `rows_read` the rows of the tasks' source that were
        read, if not all were; `balanced` has the selection of pairs by length of each recipe, if there was one. `missing_shards`
        are those that a folder of shards lacks.
        """
        pending = {recipe: count for recipe, count in (pending or {}).items() if count}
        if not self._splits:
            reasons = (
                ", ".join(f"{count} {reason}" for reason, count in self._skipped.most_common()) or "none was given"
            )
            left = sum(pending.values())
            waiting = f"; {left:,} {'is' if left == 1 else 'are'} still to be made" if pending else ""
            raise InputError(f"No pair is left to export ({reasons}{waiting}); make more pairs or loosen the filters.")
        with _disk_errors(self._folder):
            for splits in self._splits.values():
                for split in splits.values():
                    split.close()
            summary = replace(self._summary(), pending=pending, rows_read=rows_read, missing_shards=missing_shards)
            if balanced is not None:
                shifts = {name: (one.before, one.after) for name, one in balanced.items()}
                summary = replace(summary, lengths=shifts, length_unit=next(iter(balanced.values())).unit)
                (self._partial / LEFT_OUT_FILE).write_text("".join(left_out_lines(balanced)), encoding="utf-8")
            (self._partial / "README.md").write_text(card(summary, facts or CardFacts()), encoding="utf-8")
            self._put_in_place()
        return summary

    def _summary(self) -> ExportSummary:
        rows: dict[str, dict[str, int]] = {
            recipe: {name: splits[name].rows for name in ("train", "test") if name in splits}
            for recipe, splits in sorted(self._splits.items())
        }
        return ExportSummary(
            export_format=self._format,
            rows=rows,
            skipped=dict(self._skipped.most_common()),
            content_hashes={recipe: _content_hash(self._partial / recipe) for recipe in rows},
            test_fraction=self._test_fraction,
            seed=self._seed,
            voted=self._votes is not None,
            source_columns=tuple(map(exported_name, self._source_columns)),
            confirmed=None if self._confirming is None else {recipe: self._confirmed[recipe] for recipe in rows},
            with_thoughts=None if self._thinking is None else {recipe: self._with_thoughts[recipe] for recipe in rows},
            thinking=self._thinking,
            file_format=self._file_format,
            reference=None if self._references is None else self._references.phrase,
            files=tuple(self._files),
            replaced_characters=sum(split.replaced for splits in self._splits.values() for split in splits.values()),
        )

    def _split_for(self, stored: StoredPair) -> ShardedSplit:
        recipe = stored.outcome.recipe
        name = "test" if is_test(stored.task.id, self._test_fraction, self._seed) else "train"
        if name not in self._splits[recipe]:
            if not _SUBSET_NAME.fullmatch(recipe):
                raise InputError(
                    f"The recipe name {recipe!r} cannot name a subset; use letters, digits, dots and dashes."
                )
            self._splits[recipe][name] = ShardedSplit(
                self._partial / recipe, name, self._schema, self._file_format, rows_per_shard=self._rows_per_shard
            )
        return self._splits[recipe][name]

    def _put_in_place(self) -> None:
        former = self._folder.with_name(f".{self._folder.name}.former")
        shutil.rmtree(former, ignore_errors=True)
        if self._folder.exists():
            self._folder.rename(former)
        self._partial.rename(self._folder)
        shutil.rmtree(former, ignore_errors=True)


def _content_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"sha256:{digest.hexdigest()}"


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _not_written(folder, error) from error


def _not_written(folder: Path, error: OSError) -> InputError:
    return InputError(f"The data set {folder} cannot be written: {error.strerror or error}.")


def _require_free(folder: Path, *, overwrite: bool) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder for the data set.")
    if not any(folder.iterdir()):
        return
    if not overwrite:
        raise InputError(
            f"The folder {folder} is not empty; name another one, or pass --overwrite (in Python, overwrite=True)"
        )
    readme = folder / "README.md"
    if not readme.is_file() or CARD_MARK not in readme.read_text(encoding="utf-8", errors="replace"):
        raise InputError(f"The folder {folder} contains something that is not an export of clairgen; name another one.")
