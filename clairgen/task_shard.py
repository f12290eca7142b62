"""A shard of a run's tasks, for runs over many machines: those whose prompts' hash falls into it.

Shards are counted from 1, as test runners that split their work write i/N; schedulers count their jobs from 0, or as they are
told. Which tasks a shard has depends on their prompts and N alone, not on their order or on the machine.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final, Self

from clairgen.errors import ConfigError
from clairgen.keys import digest, messages_json
from clairgen.records import Message

MOST_SHARDS: Final = 100_000
SHARD_MARK: Final = "{shard}"
"""What a path has in place of the shard's number."""
_DIGITS: Final = 16
_SHARDS_NAMED: Final = 10
_FORM: Final = re.compile(r"(\d{1,9})/(\d{1,9})")
_INDEXES: Final = {
    "SLURM_ARRAY_TASK_ID": "SLURM_ARRAY_TASK_COUNT",
    "JOB_COMPLETION_INDEX": None,
    "SKYPILOT_JOB_RANK": "SKYPILOT_NUM_JOBS",
}
"""Environment variables that say which of several jobs this is, and how many there are, where the scheduler says that."""


@dataclass(frozen=True, slots=True)
class TaskShard:
    """Shard `number` of `count`, counted from 1."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """A shard from `i/N`. Raises ConfigError for anything else, or a number that is not from 1 to N."""
        found = _FORM.fullmatch(text.strip())
        if found is None:
            raise ConfigError(f"--shard {text!r} is not a shard; give i/N, such as 1/8, or auto, auto/N or lease/N")
        number, count = map(int, found.groups())
        if not 1 <= number <= count <= MOST_SHARDS:
            last = min(max(count, 1), MOST_SHARDS)
            raise ConfigError(
                f"--shard {text} does not exist; shards are counted from 1, so give 1/{last} to {last}/{last}"
                + (f" (there can be {MOST_SHARDS:,} of them)" if count > MOST_SHARDS else "")
            )
        return cls(number, count)

    def has(self, messages: Sequence[Message], *, own_turns: bool) -> bool:
        """Whether the task with these messages belongs to the shard.

        Equal requests have to be in one shard, or they would be paid for twice. So system messages are left out, which a role
        may add; and with `own_turns` all but the beginning up to the user's first turn, since the target is asked that first.
        """
        shown = [message for message in messages if message.role != "system"]
        if own_turns:
            before = list(takewhile(lambda message: message.role != "user", shown))
            shown = shown[: len(before) + 1]
        return int(digest(messages_json(shown))[:_DIGITS], 16) % self.count == self.number - 1


@dataclass(frozen=True, slots=True)
class LeasedShard:
    """Some shard of `count`, which a coordinator gives to this process."""

    count: int

    def __str__(self) -> str:
        return f"lease/{self.count}"


def named_shard(text: str, environment: Mapping[str, str], *, is_coordinated: bool = False) -> TaskShard | LeasedShard:
    """The shard that `i/N`, `auto`, `auto/N` or `lease/N` names; `environment` is looked into for `auto`.

    With a coordinator `auto/N` is `lease/N` where the environment says nothing. Raises ConfigError where the environment does
    not say which shard this is, or contradicts itself or `auto/N`.
    """
    first, _, rest = text.strip().partition("/")
    if first == "lease":
        if not is_coordinated:
            raise ConfigError(f"--shard {text} takes a shard from a coordinator; name it with --coordinator URL")
        return _leased(rest)
    if first != "auto":
        return TaskShard.parse(text)
    if rest and not rest.isdecimal():
        raise ConfigError(f"--shard {text!r} is not a shard; give i/N, such as 1/8, or auto, auto/N or lease/N")
    found = dict(_shards_in(environment, int(rest) if rest else None))
    if not found and rest and is_coordinated:
        return _leased(rest)
    if not found:
        raise ConfigError(f"--shard auto finds none of {', '.join(_INDEXES)} in the environment; give --shard i/N")
    if len(set(found.values())) > 1:
        said = ", ".join(f"{name} says {shard}" for name, shard in found.items())
        raise ConfigError(f"--shard auto finds several answers: {said}; give --shard i/N")
    return next(iter(found.values()))


def shards_named(shards: Sequence[TaskShard | str]) -> str:
    """Shards one after the other, of many the first ten."""
    more = len(shards) - _SHARDS_NAMED
    return ", ".join(map(str, shards[:_SHARDS_NAMED])) + (f" and {more:,} more" if more > 0 else "")


def _leased(count: str) -> LeasedShard:
    if not count.isdecimal() or not 1 <= int(count[:9]) <= MOST_SHARDS:
        raise ConfigError(f"--shard lease/{count} is not a number of shards; give lease/N, such as lease/8")
    return LeasedShard(int(count[:9]))


def _shards_in(environment: Mapping[str, str], given: int | None) -> Iterator[tuple[str, TaskShard]]:
    """What each scheduler says; `given` is the number of shards that the user names."""
    for name, name_of_count in _INDEXES.items():
        index = _number(environment, name)
        if index is None:
            continue
        count = _number(environment, name_of_count) if name_of_count is not None else None
        if name == "SLURM_ARRAY_TASK_ID":
            index = _index_in_array(environment, index, count)
        if count is None and given is None:
            where = f", and {name_of_count} is not set" if name_of_count else ", which does not come with their number"
            raise ConfigError(f"--shard auto finds {name}={index}{where}; give --shard auto/N, N being all of them")
        if count is not None and given is not None and count != given:
            raise ConfigError(
                f"--shard auto/{given} contradicts {name_of_count}={count}; give --shard i/{given}, i being this shard's number"
            )
        total = given if given is not None else count
        if total is None or index >= total:
            raise ConfigError(
                f"{name}={index} counts from 0, so there is no such shard of {total}; give the N that was submitted"
            )
        yield name, TaskShard.parse(f"{index + 1}/{total}")


def _index_in_array(environment: Mapping[str, str], number: int, count: int | None) -> int:
    """The index, from 0, of a job in a Slurm array, which may begin anywhere and have a step."""
    first, last = (_number(environment, f"SLURM_ARRAY_TASK_{name}") for name in ("MIN", "MAX"))
    step = _number(environment, "SLURM_ARRAY_TASK_STEP") or 1
    if first is None:
        raise ConfigError("SLURM_ARRAY_TASK_ID is set and SLURM_ARRAY_TASK_MIN is not; give --shard i/N")
    index, remainder = divmod(number - first, step)
    has_gaps = count is not None and last is not None and (last - first) // step + 1 != count
    if remainder or index < 0 or has_gaps:
        raise ConfigError(
            f"the Slurm array that task {number} belongs to has gaps, perhaps since only a part of it was submitted again, so "
            "its indexes do not say which shard this is; give --shard i/N"
        )
    return index


def _number(environment: Mapping[str, str], name: str) -> int | None:
    """The number in an environment variable; None where it is not set."""
    value = environment.get(name, "")
    if not value:
        return None
    if not value.isdecimal() or len(value) > 9:
        raise ConfigError(f"{name}={value[:40]!r} is not a number; give --shard i/N")
    return int(value)
