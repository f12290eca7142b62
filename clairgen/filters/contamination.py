"""Contamination: prompts that overlap with evaluation files which the user names.

A prompt overlaps if one of its n-grams of lower-cased words stands in an evaluation; one that is shorter than an n-gram, if
as a whole it is a text of the evaluation. Only prompts are looked at: an answer that repeats an evaluation's passage was
asked to.
"""

import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clairgen.errors import ConfigError
from clairgen.filters.text import asked_text, shingles, words
from clairgen.records import FilterAction, Finding, Message

_FEWEST_WORDS = 4
"""Texts of fewer words, such as `yes` or the name of a subject, are no item of an evaluation."""


@dataclass(frozen=True, slots=True)
class Evaluations:
    """The n-grams of evaluation files, as hashes: about 60 bytes each."""

    ngram: int
    hashes: Mapping[str, frozenset[int]]

    @classmethod
    def read(cls, files: Sequence[Path], ngram: int) -> "Evaluations":
        """Read all texts of .jsonl rows, .csv cells and .txt lines. Raises ConfigError for a file that cannot be read."""
        known = {
            name: frozenset(gram for text in _texts(path) for gram in _hashes(text, ngram))
            for name, path in _named_apart(files).items()
        }
        return cls(ngram, known)

    def overlap(self, text: str) -> tuple[str, float] | None:
        """The file that a text overlaps with most, and the share of its n-grams found there; None without overlap."""
        grams = _hashes(text, self.ngram)
        if not grams:
            return None
        shares = {name: sum(gram in known for gram in grams) / len(grams) for name, known in self.hashes.items()}
        name = max(shares, key=lambda name: shares[name], default="")
        return (name, shares[name]) if name and shares[name] > 0 else None


def _named_apart(files: Sequence[Path]) -> dict[str, Path]:
    """The files by their names, or by their whole paths where several have one name."""
    names = [path.name for path in files]
    return {path.name if names.count(path.name) == 1 else str(path): path for path in files}


def overlaps_evaluation(evaluations: Evaluations, action: FilterAction, prompt: Sequence[Message]) -> Finding | None:
    """The prompt overlaps with an evaluation; the value is the file's name and the share of the prompt's n-grams."""
    found = evaluations.overlap(asked_text(prompt))
    if found is None:
        return None
    return Finding("contamination", action, "overlaps-evaluation", f"{found[0]} {found[1]:.2f}")


def _hashes(text: str, ngram: int) -> set[int]:
    tokens = words(text)
    if len(tokens) < _FEWEST_WORDS:
        return set()
    # Python's own hash, new in every process, will do: these are never stored.
    return {hash(gram) for gram in shingles(tokens, ngram)}


def _texts(path: Path) -> Iterator[str]:
    readers = {".jsonl": _jsonl_texts, ".csv": _csv_texts, ".txt": _txt_texts}
    if path.suffix not in readers:
        raise ConfigError(
            f"evaluations are read from {', '.join(readers)} files; {path} under `contamination` is none of them"
        )
    try:
        yield from readers[path.suffix](path)
    except FileNotFoundError as error:
        raise ConfigError(f"there is no evaluation file {path}; check `files` under `contamination`") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"the evaluation file {path} under `contamination` cannot be read: {error}") from error


def _jsonl_texts(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield from _strings(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise ConfigError(
                    f"{path} line {number} under `contamination` is not valid JSON ({error}); mend it"
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
