"""A clock for tests that need not wait: sleeping moves it on."""

import asyncio


class FakeClock:
    """Seconds that pass only by sleeping; sleepers wake in the order of their times."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        """The time now."""
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has moved on by `seconds`; the earliest sleeper moves it."""
        self.slept.append(seconds)
        until = self.seconds + seconds
        _sleepers.append(until)
        try:
            while self.seconds < until:
                await asyncio.sleep(0)
                if until == min(_sleepers):
                    self.seconds = until
        finally:
            _sleepers.remove(until)


_sleepers: list[float] = []
