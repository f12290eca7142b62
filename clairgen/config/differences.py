"""What differs between two nested mappings, such as configurations or plans, and how a message says it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from clairgen.keys import canonical_json

_LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Difference:
    """A value that differs, by the keys that lead to it; None stands for no value."""

    path: tuple[str, ...]
    old: Any
    new: Any


def differences(before: Mapping[str, Any], now: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[Difference]:
    """What differs between two nested mappings, in the order of the keys; `path` leads to both."""
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(old, new, (*path, key))
        elif canonical_json(_given(old)) != canonical_json(_given(new)):
            yield Difference((*path, key), old, new)


def sentence(difference: Difference) -> str:
    """A difference as part of a message."""
    return f"{'.'.join(difference.path)}: {_shown(difference.old)} -> {_shown(difference.new)}"


def _given(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The value, where an empty mapping is none: older versions did not write keys that came later."""
    return None if value == {} else value


def _shown(value: Any) -> str:  # noqa: ANN401 - any JSON value
    text = "nothing" if value is None else canonical_json(value)
    text = text[1:-1] if isinstance(value, str) else text
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
