"""What clairgen takes from its surroundings: network, clock, sleep, randomness, environment variables, open files."""

import asyncio
import contextlib
import os
import random
import resource
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clairgen.inference.local_rewards import RewardModel
from clairgen.inference.registered import Servers
from clairgen.inference.shared_budget import WiderBudget
from clairgen.inference.shared_limits import LimitsInCommon
from clairgen.inference.transport import Transport

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

_WANTED: Final = 65_536  # more than any run needs; millions slow some child processes down
_LEASE_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # macOS needs no other for that
_RESERVED: Final = 32  # for what is opened while requests are in flight: the database, name look-ups, certificates


def open_transport(note: Callable[[str], None] = lambda _sentence: None) -> Transport:
    """The fastest transport that is installed; if that is only httpx, `note` is given a sentence that says so."""
    try:
        from clairgen.inference.pyreqwest_transport import PyreqwestTransport
    except ImportError:
        from clairgen.inference.httpx_transport import HttpxTransport

        note(
            "pyreqwest is not installed, so requests are sent with httpx, which takes many times the processor time per "
            "request; install pyreqwest where it has a wheel for this platform"
        )
        return HttpxTransport()
    return PyreqwestTransport()


@dataclass(frozen=True, slots=True)
class Runtime:
    """Passed down instead of imported, so that tests need not wait.

    `transport` opens a transport and is given a function that takes sentences for the user. `clock` measures durations in
    seconds, and so does `lease_clock`, which also counts those in which the machine is suspended; `wall_clock` is the time of
    day, `random` returns numbers in [0, 1), `free_bytes` says how many bytes the disk of a folder still takes.
    `load_reward_model` loads the sequence classifier in a folder or on the hub; the command line gives the one of
    `clairgen_train.reward_model`. Sessions of one event loop that are given the same `shared_limits` keep to the limits of the
    endpoints that they have in common together, and with the same `shared_budget` to one budget; without them each keeps to its
    own alone. `registered_servers` are those of a coordinator. `tracer_provider` is that of a program which has traces of
    OpenTelemetry, and wants those of requests and pairs among them.
    """

    transport: Callable[[Callable[[str], None]], Transport] = open_transport
    clock: Callable[[], float] = time.monotonic
    lease_clock: Callable[[], float] = lambda: time.clock_gettime(_LEASE_CLOCK)
    wall_clock: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free
    load_reward_model: Callable[[str], RewardModel] | None = None
    shared_limits: LimitsInCommon | None = None
    shared_budget: WiderBudget | None = None
    registered_servers: Servers | None = None
    tracer_provider: "TracerProvider | None" = None


def raise_open_file_limit() -> None:
    """Raise the soft limit of open files to the hard limit, as every process may; many systems begin with 256 or 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _WANTED if hard == resource.RLIM_INFINITY else min(hard, _WANTED)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(OSError, ValueError):  # macOS has a further limit, which it does not name
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def connections_left() -> int:
    """How many connections can still be opened, at least 1."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _WANTED
    return max(1, soft - sum(1 for _ in Path("/dev/fd").iterdir()) - _RESERVED)
