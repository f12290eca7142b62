"""What members of a group and their coordinator send each other, as JSON; amounts are picodollars, times are seconds."""

from typing import Annotated, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from clairgen.config.endpoint_checks import checked_server
from clairgen.inference.announced_limits import LONGEST_WAIT_SECONDS
from clairgen.task_shard import MOST_SHARDS

API: Final = "/api/coordinator"
"""Where a service coordinates."""
BEAT_SECONDS: Final = 3.0
"""How often a member reports."""
RATE_SECONDS: Final = 10.0
"""How long a member may send at a rate, from when it asked for it."""
SHARD_SECONDS: Final = 30.0
"""How long a shard is held by a member that reports no more, and after which it is taken for gone."""
SERVER_SECONDS: Final = 15.0
"""After which a model server is left out that does not announce itself again."""

MOST: Final = 2**62
"""The largest amount or count, which a database still holds."""
LONGEST_NAME: Final = 100
NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""What names of groups, runs and sessions look like."""
Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME, pattern=NAME)]
Text = Annotated[str, Field(max_length=1000)]
Picodollars = Annotated[int, Field(ge=0, le=MOST, strict=True)]
Count = Annotated[int, Field(ge=0, le=MOST, strict=True)]
Rate = Annotated[float, Field(ge=0, le=1e12, strict=True)]
Seconds = Annotated[float, Field(ge=0, le=1e6, strict=True)]
Pause = Annotated[float, Field(ge=0, le=LONGEST_WAIT_SECONDS, strict=True)]
Flag = Annotated[bool, Field(strict=True)]
ShardNumber = Annotated[int, Field(ge=1, le=MOST_SHARDS, strict=True)]


class Wire(BaseModel):
    """A message, or a part of one."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class EndpointLimit(Wire):
    """What a configuration says of an endpoint, which holds for all members together; None where it says nothing."""

    endpoint: Text
    requests_per_minute: Rate | None = None
    tokens_per_minute: Rate | None = None
    concurrency: Annotated[int, Field(gt=0, le=10**9, strict=True)] | None = None


class RateShare(Wire):
    """What a member may send to an endpoint, per minute and at once; None is no limit.

    `pause_seconds` is for how long it is to send nothing, as another member got a 429.
    """

    endpoint: Text
    requests_per_minute: Rate | None = None
    tokens_per_minute: Rate | None = None
    concurrency: Count | None = None
    pause_seconds: Seconds = 0.0


class EndpointUse(Wire):
    """What a member sent to an endpoint since its last message, and has in flight and waiting for it now.

    `pauses` counts its 429s since then, `pause_seconds` is how long the last one asks to wait, `announced_...` what the server
    says its limits are, and `held` what the member may send by a lease that goes on.
    """

    endpoint: Text
    sent: Count = 0
    tokens: Count = 0
    in_flight: Count = 0
    waiting: Count = 0
    pauses: Count = 0
    pause_seconds: Pause = 0.0
    announced_requests_per_minute: Rate | None = None
    announced_tokens_per_minute: Rate | None = None
    held: RateShare | None = None


class MoneyUse(Wire):
    """What a run has spent by its own disk, what it keeps to (`allotted`), needs for its next request, and would like to have."""

    spent: Picodollars
    allotted: Picodollars
    needed: Picodollars
    wanted: Picodollars


class Claim(Wire):
    """Ask for a shard of `count`: this `number`, or any that is free. `work` names what is split; `holder` is for people.

    With `takes_over` the sender knows that whoever holds the shard has ended, or will be stopped by the shard's copy.
    """

    session: Name
    work: Name
    count: ShardNumber
    number: ShardNumber | None = None
    holder: Text
    takes_over: Flag = False

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Self:
        if self.number is not None and self.number > self.count:
            raise ValueError(f"there is no shard {self.number} of {self.count}")
        return self


class Claimed(Wire):
    """The shard that was given; without a `number`, why there is none now, and whether all of them are `done`."""

    number: int | None = None
    seconds: Seconds = SHARD_SECONDS
    sentence: str = ""
    done: bool = False


class Join(Wire):
    """A process begins to work on a run. `location` says where its database is, `run` is its name for people."""

    session: Name
    run_id: Name
    run: Text
    location: Text
    spent: Picodollars
    budget: Picodollars | None = None
    limits: Annotated[tuple[EndpointLimit, ...], Field(max_length=1000)] = ()


class Beat(Wire):
    """A member's report after `seconds`. `sequence` rises with each; `lease` is the last one that it got, 0 for none.

    A member that only waits to open its run, and one without a run, has no `run_id`. `models` are those whose servers it asks
    for.
    """

    session: Name
    run_id: Name | None = None
    sequence: Count
    lease: Count = 0
    seconds: Seconds = BEAT_SECONDS
    endpoints: Annotated[tuple[EndpointUse, ...], Field(max_length=1000)] = ()
    money: MoneyUse | None = None
    models: Annotated[tuple[Text, ...], Field(max_length=100)] = ()


class MoneyGrant(Wire):
    """What the run may cost in all, and what `others` have spent or may spend of the `budget` without giving it back.

    `silent` is the part of it that runs hold of which nothing is heard. `scarce` asks for what is not needed now.
    """

    allotted: Picodollars
    others: Picodollars
    budget: Picodollars
    silent: Picodollars = 0
    scarce: bool = False


class Granted(Wire):
    """What a member may do from now on. `has_shard` is whether its shard, if it had one, is still its own."""

    lease: Count
    seconds: Seconds = RATE_SECONDS
    shares: tuple[RateShare, ...] = ()
    money: MoneyGrant | None = None
    has_shard: bool = False
    servers: dict[str, list[str]] = {}


class Leave(Wire):
    """A member ends, having spent so much; `done` is whether its shard is done."""

    session: Name
    run_id: Name | None = None
    sequence: Count = 0
    spent: Picodollars | None = None
    done: Flag = False


class ModelServer(Wire):
    """A server of a model that announces itself, by the base URL that requests are sent to."""

    model: Annotated[str, Field(min_length=1, max_length=500)]
    url: Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(checked_server)]
