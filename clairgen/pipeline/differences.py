"""What differs between two nested mappings, such as two configurations or two plans of requests."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from clairgen.keys import canonical_json
from clairgen.records import Sampling

_LONGEST_SHOWN = 60
_DECIDED_ELSEWHERE: Final = frozenset({"recipes", "seed", "tasks", "filters", "tokenizer"})
_SENT: Final = frozenset({"model", "revision", "system"} | {field.name for field in fields(Sampling)})


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


def _given(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The value, where an empty mapping is none: older versions did not write keys that came later."""
    return None if value == {} else value


def may_change_requests(difference: Difference) -> bool:
    """Whether a difference between two configurations may change requests, pairs or filters; plans and filter sets say how."""
    top, *rest = difference.path
    if top != "models":
        return top in _DECIDED_ELSEWHERE
    return len(rest) < 2 or rest[1] in _SENT


def sentence(difference: Difference) -> str:
    """A difference as part of a message."""
    return f"{'.'.join(difference.path)}: {_shown(difference.old)} -> {_shown(difference.new)}"


def _shown(value: Any) -> str:  # noqa: ANN401 - any JSON value
    text = "nothing" if value is None else canonical_json(value)
    text = text[1:-1] if isinstance(value, str) else text
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
