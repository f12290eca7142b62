"""OpenAI's Files and Batches over its SDK, and the same of servers that imitate them. Nothing is sent twice in here."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import parse_qsl

from clairgen.errors import RequestError, RetryableError
from clairgen.inference.batch_service import Refusal, RemoteBatch, RemoteFile, Tags, rejected_call, until_repeated
from clairgen.inference.endpoint import EndpointAddress
from clairgen.inference.redaction import Redaction
from clairgen.inference.rejections import shortened

if TYPE_CHECKING:
    from openai import AsyncOpenAI

T = TypeVar("T")
_PER_PAGE: Final = 100
_LATEST: Final = 1e12  # seconds: no time that anybody means is later
_SDK_SENDS: Final = {
    "content-type",
    "accept",
    "authorization",
}  # an `Authorization` of the user's own replaces the last


class OpenAIBatches:
    """The batches behind one address, each call within `timeout_seconds`; a file that goes up or down within `file_seconds`."""

    def __init__(
        self,
        address: EndpointAddress,
        *,
        timeout_seconds: float,
        file_seconds: float,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._address = address
        self._wall_clock = wall_clock
        self._timeout_seconds = timeout_seconds
        self._file_seconds = file_seconds
        self._redaction = Redaction.of([address.key, *address.secrets])
        self._opened: AsyncOpenAI | None = None

    async def upload(self, path: Path, tags: Tags) -> RemoteFile:
        """See `BatchService`."""
        with path.open("rb") as stream:
            given = (tags.file_name, stream, "application/jsonl")
            return await self._asked(
                self._client.files.create(
                    file=given, purpose="batch", timeout=self._file_seconds, extra_headers=self._unsent
                ),
                "upload a file",
                _file,
            )

    async def create(self, file_id: str, tags: Tags) -> RemoteBatch:
        """See `BatchService`."""
        created = self._client.batches.create(
            input_file_id=file_id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            metadata={Tags.KEY: tags.batch, **tags.others},
            extra_headers=self._unsent,
        )
        return await self._asked(created, "create a batch", _batch)

    async def retrieve(self, batch_id: str) -> RemoteBatch:
        """See `BatchService`."""
        looked_at = self._client.batches.retrieve(batch_id, extra_headers=self._unsent)
        return await self._asked(looked_at, "look at a batch", _batch)

    async def cancel(self, batch_id: str) -> RemoteBatch:
        """See `BatchService`."""
        cancelled = self._client.batches.cancel(batch_id, extra_headers=self._unsent)
        return await self._asked(cancelled, "cancel a batch", _batch)

    @until_repeated
    async def batches(self) -> AsyncGenerator[RemoteBatch, None]:
        """See `BatchService`."""
        async with self._errors("list batches"):
            async for one in self._client.batches.list(limit=_PER_PAGE, extra_headers=self._unsent):
                yield _batch(one)

    @until_repeated
    async def files(self) -> AsyncGenerator[RemoteFile, None]:
        """See `BatchService`."""
        async with self._errors("list files"):
            async for one in self._client.files.list(
                purpose="batch", order="desc", limit=_PER_PAGE, extra_headers=self._unsent
            ):
                yield _file(one)

    async def size(self, file_id: str) -> int | None:
        """See `BatchService`."""
        looked_at = self._client.files.retrieve(file_id, extra_headers=self._unsent)
        return (await self._asked(looked_at, "look at a file", _file)).bytes

    async def content(self, file_id: str) -> AsyncGenerator[bytes, None]:
        """See `BatchService`."""
        files, headers = self._client.files.with_streaming_response, self._unsent
        content = files.content(file_id, timeout=self._file_seconds, extra_headers=headers)
        async with self._errors("download a file"), content as response:
            async for piece in response.iter_bytes():
                yield piece

    async def close(self) -> None:
        """See `BatchService`."""
        if self._opened is not None:
            await self._opened.close()

    @property
    def _client(self) -> "AsyncOpenAI":
        """The SDK's client, imported with the first call, since that takes a second. Of the environment it takes nothing."""
        if self._opened is None:
            from openai import AsyncOpenAI, Omit

            own = {name: value for name, value in self._address.headers().items() if name not in _SDK_SENDS}
            unsent: dict[str, Any] = dict.fromkeys(("OpenAI-Organization", "OpenAI-Project"), Omit())
            base, _, query = self._address.url.partition("?")
            self._opened = AsyncOpenAI(
                api_key=self._address.key or "none",
                base_url=base,
                default_query=dict(parse_qsl(query)),
                default_headers=unsent | own,
                timeout=self._timeout_seconds,
                max_retries=0,
            )
        return self._opened

    @property
    def _unsent(self) -> dict[str, Any]:
        """What each call leaves out for a server without a key, or with one in another header."""
        from openai import Omit

        given = self._address.headers()
        return {} if any(name.lower() == "authorization" for name in given) else {"Authorization": Omit()}

    async def _asked(self, call: Awaitable[Any], what: str, read: Callable[[Any], T]) -> T:
        """What is read of an answer; one that cannot be read says no more than none at all."""
        async with self._errors(what):
            return read(await call)

    @asynccontextmanager
    async def _errors(self, what: str) -> AsyncIterator[None]:
        """The SDK's errors as ours, without keys."""
        import httpx2
        import openai

        try:
            yield
        except openai.APIStatusError as error:
            body = {"error": error.body or shortened(str(error.message))}
            rejection = rejected_call(error.status_code, body, error.response.headers, what, self._wall_clock())
            raise self._known(rejection) from None
        except openai.APITimeoutError:
            raise self._known(self._unknown("timed-out", what, "no answer in time")) from None
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            why = str(error.__cause__ or error) or type(error).__name__
            raise self._known(self._unknown("unreachable", what, why)) from None
        except (openai.APIError, ValueError, TypeError, AttributeError, KeyError, OverflowError) as error:
            # The SDK builds its objects of whatever JSON it gets, and fails in ways of its own where that is none.
            raise self._known(self._unknown("not-a-batch", what, f"the answer cannot be read: {error}")) from None

    def _unknown(self, reason: str, what: str, why: str) -> RetryableError:
        return RetryableError(reason, f"{self._address.name} could not {what}: {shortened(why)}")

    def _known(self, error: RequestError) -> RequestError:
        self._redaction.error(error)
        error.endpoint = self._address.name
        return error


def _batch(batch: Any) -> RemoteBatch:  # noqa: ANN401 - openai.types.Batch, of whatever JSON
    """A batch as the SDK built it. Raises ValueError for what has no name or no state."""
    identity, status = getattr(batch, "id", None), getattr(batch, "status", None)
    if not isinstance(identity, str) or not identity or not isinstance(status, str):
        raise ValueError("it is no batch")
    metadata, counts = getattr(batch, "metadata", None), getattr(batch, "request_counts", None)
    tag = metadata.get(Tags.KEY) if isinstance(metadata, dict) else None
    errors = getattr(getattr(batch, "errors", None), "data", None)
    return RemoteBatch(
        identity,
        status,
        tag if isinstance(tag, str) else None,
        input_file_id=_name(getattr(batch, "input_file_id", None)),
        output_file_id=_name(getattr(batch, "output_file_id", None)),
        error_file_id=_name(getattr(batch, "error_file_id", None)),
        refusals=[_refusal(error) for error in errors] if isinstance(errors, list) else [],
        created_at=_number(getattr(batch, "created_at", None)),
        expires_at=_number(getattr(batch, "expires_at", None)),
        completed=_whole(getattr(counts, "completed", None)),
        failed=_whole(getattr(counts, "failed", None)),
    )


def _file(file: Any) -> RemoteFile:  # noqa: ANN401 - openai.types.FileObject, of whatever JSON
    """A file as the SDK built it. Raises ValueError for what has no name."""
    if not isinstance(getattr(file, "id", None), str) or not file.id:
        raise ValueError("it is no file")
    return RemoteFile(file.id, str(getattr(file, "filename", None) or ""), _whole(getattr(file, "bytes", None)))


def _refusal(error: Any) -> Refusal:  # noqa: ANN401 - an error as the SDK built it, or whatever the server wrote instead
    code, message = getattr(error, "code", None), getattr(error, "message", None)
    said = message if message or code else error
    return Refusal(str(code or "unknown"), shortened(str(said or "")), _whole(getattr(error, "line", None)))


def _name(value: object) -> str | None:
    """The name of a file; some servers write an empty one for none."""
    return value if isinstance(value, str) and value else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < _LATEST:
        return None
    return float(value)
