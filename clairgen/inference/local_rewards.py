"""Reward models on this machine: a thread scores what was queued, for `advise`, and for roles at `classifier:` addresses.

Requests and scores of such a role have the form of vLLM's `classify` API, so they are stored, shared and resumed like all others.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

import orjson

from clairgen.embedded.gguf import CLASSIFIER
from clairgen.errors import UserError
from clairgen.inference.score_format import SCORING_PATHS
from clairgen.inference.transport import Response, Timeouts, Transport
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
    """Shares one reward model among the requests in flight. Use it as an async context manager."""

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
            if isinstance(error, UserError) and len(conversations) > 1:  # perhaps because of one of them
                for conversation, future in zip(conversations, futures, strict=True):
                    await self._score([conversation], [future])
                return
            for future in futures:
                if not future.done():
                    future.set_exception(error)
            return
        for future, score in zip(futures, scores, strict=True):
            if not future.done():
                future.set_result(score)


def truncated_sentence(model: RewardModel) -> str | None:
    """That texts were longer than the model can read; None if none was."""
    if not model.truncated:
        return None
    return f"{model.truncated:,} texts are longer than the reward model can read; their ends were left out"


class LocalRewards:
    """A transport that scores what is posted to `classifier:` addresses and sends everything else on to another one.

    `models` are by the name in their address. What a model refuses is answered as a server would, with HTTP 400. `note` is told
    at the end how many conversations were truncated.
    """

    def __init__(self, other: Transport, models: Mapping[str, RewardModel], note: Callable[[str], None]) -> None:
        self._other = other
        self._models = models
        self._scorers = {name: RewardScorer(model) for name, model in models.items()}
        self._note = note

    async def __aenter__(self) -> Self:
        for scorer in self._scorers.values():
            await scorer.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for scorer in self._scorers.values():
            await scorer.__aexit__(kind, error, trace)
        for model in self._models.values():
            if (sentence := truncated_sentence(model)) is not None:
                self._note(sentence)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> Response:
        """See `Transport.post`."""
        if not url.startswith(CLASSIFIER):
            return await self._other.post(url, headers, body, timeouts)
        scorer = self._scorers[url.removeprefix(CLASSIFIER).removesuffix(SCORING_PATHS["classify"])]
        *prompt, answer = orjson.loads(body)["messages"]
        try:
            [score] = await scorer([Message(**message) for message in prompt], [answer["content"]])
        except UserError as error:
            return Response(400, {}, orjson.dumps({"error": {"message": str(error)}}))
        return Response(200, {}, orjson.dumps({"data": [{"probs": [score]}]}))

    async def get(self, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> Response:
        """See `Transport.get`; a model in this process is alive."""
        return Response(200, {}, b"") if url.startswith(CLASSIFIER) else await self._other.get(url, headers, timeouts)

    async def close(self) -> None:
        """Close the other transport."""
        await self._other.close()
