"""What clairgen takes from its surroundings: network, clock, sleep, randomness, environment variables."""

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from clairgen.inference.transport import Transport, open_transport


@dataclass(frozen=True, slots=True)
class Runtime:
    """Passed down instead of imported, so that tests need not wait.

    `transport` opens a transport and is given a function that takes sentences for the user. `clock` measures durations in
    seconds, `wall_clock` is the time of day, `random` returns numbers in [0, 1).
    """

    transport: Callable[[Callable[[str], None]], Transport] = open_transport
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
