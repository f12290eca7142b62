"""Anthropic's message batches: requests go up with the batch itself, and results come in a form of their own.

The service keeps nothing by which a batch could be known again, and names its requests only once it has ended: by then their
custom_ids tell whose it is. Lines are turned into those of OpenAI's form, so that they are read as all others are.
"""

import asyncio
import datetime
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx2

from clairgen.errors import RequestError, RetryableError, UnusableEndpointError
from clairgen.inference.anthropic_format import converted_request, converted_result
from clairgen.inference.batch_lines import split_lines
from clairgen.inference.batch_service import RemoteBatch, RemoteFile, Tags, rejected_call, until_repeated
from clairgen.inference.endpoint import EndpointAddress
from clairgen.inference.json_bodies import parsed_json
from clairgen.inference.redaction import Redaction
from clairgen.inference.rejections import shortened

_VERSION: Final = "2023-06-01"
_PER_PAGE: Final = 100
_STATES: Final = {"canceling": "cancelling", "ended": "completed"}


class AnthropicBatches:
    """The message batches behind one address, each call within `timeout_seconds`; files of requests are in `folder`."""

    def __init__(
        self,
        address: EndpointAddress,
        folder: Path,
        *,
        timeout_seconds: float,
        file_seconds: float,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._name = address.name
        self._folder = folder
        self._url = address.page("/messages/batches")
        self._file_seconds = file_seconds
        self._wall_clock = wall_clock
        self._redaction = Redaction.of([address.key, *address.secrets])
        key = {} if address.key is None else {"x-api-key": address.key}
        headers = {"anthropic-version": _VERSION, **key, **address.extra_headers}
        self._client = httpx2.AsyncClient(headers=headers, timeout=timeout_seconds)

    async def upload(self, path: Path, tags: Tags) -> RemoteFile:
        """See `BatchService`. Nothing goes up before the batch is created."""
        size = await asyncio.to_thread(lambda: path.stat().st_size)
        return RemoteFile(tags.batch, tags.file_name, size)

    async def create(self, file_id: str, tags: Tags) -> RemoteBatch:
        """See `BatchService`."""
        del tags
        return _batch(await self._json("POST", "", "create a batch", self._requests(file_id)))

    async def retrieve(self, batch_id: str) -> RemoteBatch:
        """See `BatchService`."""
        return _batch(await self._json("GET", f"/{batch_id}", "look at a batch"))

    async def cancel(self, batch_id: str) -> RemoteBatch:
        """See `BatchService`."""
        return _batch(await self._json("POST", f"/{batch_id}/cancel", "cancel a batch"))

    @until_repeated
    async def batches(self) -> AsyncGenerator[RemoteBatch, None]:
        """See `BatchService`."""
        query = {"limit": str(_PER_PAGE)}
        while True:
            page = await self._json("GET", "", "list batches", query=query)
            for one in page.get("data") or ():
                yield _batch(one)
            if not page.get("has_more") or not isinstance(page.get("last_id"), str):
                return
            query["after_id"] = page["last_id"]

    async def files(self) -> AsyncGenerator[RemoteFile, None]:
        """See `BatchService`. There are none."""
        for file in tuple[RemoteFile, ...]():
            yield file

    async def size(self, file_id: str) -> int | None:
        """See `BatchService`. The length of results is not known."""
        path = self._path(file_id)
        if file_id.startswith("msgbatch"):
            return None
        if not await asyncio.to_thread(path.exists):
            raise UnusableEndpointError(f"{path} is not there", 404)
        return await asyncio.to_thread(lambda: path.stat().st_size)

    async def content(self, file_id: str) -> AsyncGenerator[bytes, None]:
        """See `BatchService`; lines of results are in OpenAI's form."""
        async with self._errors("download results"):
            url = f"{self._url}/{file_id}/results"
            async with self._client.stream("GET", url, timeout=self._file_seconds) as response:
                if response.status_code != 200:
                    await response.aread()
                    self._refuse(response, "download results")
                async for line in split_lines(response.aiter_bytes()):
                    yield converted_result(line) + b"\n"

    async def close(self) -> None:
        """See `BatchService`."""
        await self._client.aclose()

    def _path(self, file_id: str) -> Path:
        return self._folder / f"{file_id}.jsonl"

    async def _requests(self, file_id: str) -> AsyncIterator[bytes]:
        """The body of a request to create a batch, a line at a time."""
        try:
            stream = await asyncio.to_thread(self._path(file_id).open, "rb")
        except FileNotFoundError as error:
            raise UnusableEndpointError(f"{error.filename} is not there", 404) from error
        yield b'{"requests":['
        with stream:
            for number, line in enumerate(stream):
                yield (b"," if number else b"") + converted_request(line)
        yield b"]}"

    async def _json(
        self,
        method: str,
        path: str,
        what: str,
        content: AsyncIterator[bytes] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        async with self._errors(what):
            timeout = self._file_seconds if content is not None else httpx2.USE_CLIENT_DEFAULT
            headers = {"content-type": "application/json"} if content is not None else {}
            response = await self._client.request(
                method, f"{self._url}{path}", params=query, content=content, headers=headers, timeout=timeout
            )
            if response.status_code != 200:
                self._refuse(response, what)
            found, _ = parsed_json(response.content)
            if not isinstance(found, dict):
                raise self._unknown("not-a-batch", what, "the answer is no JSON object")
            return found

    @asynccontextmanager
    async def _errors(self, what: str) -> AsyncIterator[None]:
        """The client's errors as ours, without keys."""
        try:
            yield
        except httpx2.TimeoutException:
            raise self._unknown("timed-out", what, "no answer in time") from None
        except httpx2.HTTPError as error:
            raise self._unknown("unreachable", what, str(error) or type(error).__name__) from None
        except RequestError as error:
            self._redaction.error(error)
            error.endpoint = self._name
            raise

    def _refuse(self, response: httpx2.Response, what: str) -> None:
        body, _ = parsed_json(response.content)
        body = body if isinstance(body, dict) else {"error": shortened(response.text)}
        raise rejected_call(response.status_code, body, response.headers, what, self._wall_clock())

    def _unknown(self, reason: str, what: str, why: str) -> RetryableError:
        error = RetryableError(reason, f"{self._name} could not {what}: {shortened(why)}")
        self._redaction.error(error)
        error.endpoint = self._name
        return error


def _batch(content: Any) -> RemoteBatch:  # noqa: ANN401 - parsed JSON
    """A batch from its JSON. Raises RetryableError for what has no name or no state."""
    identity = content.get("id") if isinstance(content, dict) else None
    status = content.get("processing_status") if isinstance(content, dict) else None
    if not isinstance(identity, str) or not isinstance(status, str):
        raise RetryableError("not-a-batch", "the answer describes no batch")
    counts = content.get("request_counts")
    numbers = (
        {name: count for name, count in counts.items() if isinstance(count, int)} if isinstance(counts, dict) else {}
    )
    return RemoteBatch(
        identity,
        _STATES.get(status, status),
        None,
        output_file_id=identity if content.get("results_url") else None,
        created_at=_seconds(content.get("created_at")),
        expires_at=_seconds(content.get("expires_at")),
        completed=numbers.get("succeeded"),
        failed=numbers.get("errored"),
        anonymous_requests=sum(numbers.values()),
    )


def _seconds(value: object) -> float | None:
    try:
        return datetime.datetime.fromisoformat(value).timestamp() if isinstance(value, str) else None
    except ValueError:
        return None
