"""The filter `contamination`: prompts that overlap with evaluation files that the user names.

A prompt overlaps if one of its n-grams of lower-cased words is in an evaluation; a prompt that is shorter than an n-gram, if as
a whole it is a text of the evaluation. Only prompts are compared: an answer that repeats a passage of an evaluation does so
because its prompt asks for it.
"""

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import Field

from clairgen.errors import ConfigError, InputError
from clairgen.filters.filter import Candidate, Check, Fault, Filter
from clairgen.filters.options import Marking
from clairgen.filters.text import prompt_text, shingles, words
from clairgen.records import FilterAction
from clairgen.row_files import require_regular_file, strict_json

_KEY = "`files` under `contamination`"
_FEWEST_WORDS = 4
"""Texts of fewer words, such as `yes` or the name of a subject, are not items of an evaluation."""


class Contamination(Marking):
    """The evaluation files, and how long an overlap is; without files the filter does not look."""

    files: tuple[Path, ...] = Field(
        default=(), description="Evaluation files (.jsonl, .csv, or .txt with an item a line); none: do not look."
    )
    ngram: int = Field(
        default=13, ge=3, description="Words in a row that make an overlap; fewer find more and err more often."
    )

    def decide(self, *, revises: bool) -> FilterAction | None:
        """The configured action, if there are files."""
        return super().decide(revises=revises) if self.files else None

    @property
    def limits(self) -> str:
        """The names of the files."""
        return f"with {', '.join(file.name for file in self.files)}"

    def counted_from(self, folder: Path) -> Self:
        """The same options with relative paths counted from `folder`, so that a run can be continued from anywhere."""
        return self.model_copy(update={"files": tuple(folder / file.expanduser() for file in self.files)})


@dataclass(frozen=True, slots=True)
class Evaluations:
    """The n-grams of evaluation files, as hashes: about 60 bytes each."""

    ngram: int
    hashes: Mapping[str, frozenset[int]]

    @classmethod
    def read(cls, files: Sequence[Path], ngram: int, named: str = _KEY) -> "Evaluations":
        """All texts in .jsonl rows, .csv cells and .txt lines. Raises ConfigError for a file that cannot be read.

        `named` says in its sentence where the file was named.
        """
        known = {
            name: frozenset(gram for text in _texts(path, named) for gram in _hashes(text, ngram))
            for name, path in _by_name(files).items()
        }
        return cls(ngram, known)

    def overlap(self, text: str) -> tuple[str, float] | None:
        """The file that a text overlaps with most, and the share of the text's n-grams in it; None without overlap."""
        grams = _hashes(text, self.ngram)
        if not grams:
            return None
        shares = {name: sum(gram in known for gram in grams) / len(grams) for name, known in self.hashes.items()}
        name = max(shares, key=lambda name: shares[name], default="")
        return (name, shares[name]) if name and shares[name] > 0 else None


def _by_name(files: Sequence[Path]) -> dict[str, Path]:
    """The files by name, or by whole path where several have the same name."""
    names = [path.name for path in files]
    return {path.name if names.count(path.name) == 1 else str(path): path for path in files}


def overlaps_evaluation(options: Contamination) -> Check:
    """The check that a prompt has no overlap; its value is the file's name and the share of the prompt's n-grams in it."""
    evaluations = Evaluations.read(options.files, options.ngram)

    def check(candidate: Candidate) -> Fault | None:
        found = evaluations.overlap(prompt_text(candidate.prompt))
        return None if found is None else Fault("overlaps-evaluation", f"{found[0]} {found[1]:.2f}")

    return check


def _hashes(text: str, ngram: int) -> set[int]:
    tokens = words(text)
    if len(tokens) < _FEWEST_WORDS:
        return set()
    # Python's own hash differs in every process, which is fine: hashes are never stored.
    return {hash(gram) for gram in shingles(tokens, ngram)}


def _texts(path: Path, named: str) -> Iterator[str]:
    readers = {".jsonl": _jsonl_texts, ".csv": _csv_texts, ".txt": _txt_texts}
    if path.suffix not in readers:
        raise ConfigError(f"evaluations are read from {', '.join(readers)} files; {path} ({named}) is none of them")
    try:
        require_regular_file(path, "the evaluation file")
        yield from readers[path.suffix](path)
    except InputError as error:
        raise ConfigError(f"{error} ({named})") from error
    except FileNotFoundError as error:
        raise ConfigError(f"there is no evaluation file {path}; check {named}") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"the evaluation file {path} ({named}) cannot be read: {error}") from error


def _jsonl_texts(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield from _strings(strict_json(line))
            except (ValueError, RecursionError) as error:
                raise InputError(
                    f"line {number} of the evaluation file {path} is not valid JSON ({error}); fix it"
                ) from error


def _csv_texts(path: Path) -> Iterator[str]:
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8-sig", newline="") as lines:
        for row in csv.reader(lines):
            yield from row


def _txt_texts(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8-sig") as lines:
        yield from lines


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from _strings(entry)


CONTAMINATION = Filter(
    name="contamination",
    options=Contamination,
    summary="Prompts that share n-grams with evaluation files of yours; name the files.",
    prepare=overlaps_evaluation,
    depends_on_others=True,
)
