"""Scores answers with a reward model in a thread: all that is queued each time the model is free, as one batch."""

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from clairgen.records import Message

_MOST_AT_ONCE = 64  # so that progress shows and a stop takes effect


class RewardModel(Protocol):
    """What scores answers; see `clairgen_train.reward_model`."""

    @property
    def name(self) -> str:
        """Path or id, as the user gave it."""

    @property
    def truncated(self) -> int:
        """How many conversations were longer than its context, and were scored without their ends."""

    def scores(self, conversations: Sequence[Sequence[Mapping[str, str]]]) -> list[float]:
        """A score for each conversation, whose last message is the answer; higher is better. Raises UserError."""


class RewardScorer:
    """Shares one reward model among the comparisons in flight. Use it as an async context manager."""

    def __init__(self, model: RewardModel) -> None:
        self._model = model
        self._queued: list[tuple[list[Mapping[str, str]], asyncio.Future[float]]] = []
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.create_task(self._run(), name="reward model")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.wait([self._loop])

    async def __call__(self, prompt: Sequence[Message], answers: Sequence[str]) -> tuple[float, ...]:
        """Scores of answers to a prompt. Raises UserError where the model cannot score them."""
        asked = [{"role": message.role, "content": message.content} for message in prompt]
        futures = [asyncio.get_running_loop().create_future() for _ in answers]
        for answer, future in zip(answers, futures, strict=True):
            self._queued.append(([*asked, {"role": "assistant", "content": answer}], future))
        self._wake.set()
        return tuple(await asyncio.gather(*futures))

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            group, self._queued = self._queued[:_MOST_AT_ONCE], self._queued[_MOST_AT_ONCE:]
            if not self._queued:
                self._wake.clear()
            if group:
                await self._score([conversation for conversation, _ in group], [future for _, future in group])

    async def _score(
        self, conversations: Sequence[Sequence[Mapping[str, str]]], futures: Sequence[asyncio.Future[float]]
    ) -> None:
        try:
            scores = await asyncio.to_thread(self._model.scores, conversations)
        except Exception as error:  # noqa: BLE001 - who wants these scores gets it
            for future in futures:
                if not future.done():
                    future.set_exception(error)
            return
        for future, score in zip(futures, scores, strict=True):
            if not future.done():
                future.set_result(score)
