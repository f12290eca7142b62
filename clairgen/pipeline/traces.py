"""Traces for OpenTelemetry: a span for each request to a model, by the conventions for generative AI, below one for its pair.

Nothing is imported or recorded unless the environment names a collector, or the program has a tracer provider. Spans contain
neither prompts nor answers, nor what servers say about them, unless the user wants texts in the log as well.
"""

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from clairgen.errors import RequestError
from clairgen.inference.openai_format import ChatAnswer
from clairgen.inference.runtime import Runtime
from clairgen.installed import __version__
from clairgen.pipeline.attempt_counts import ANSWERED
from clairgen.pipeline.model_requests import Request
from clairgen.records import Message

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

_ENDPOINT_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOL_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL: Final = "http/protobuf"
_SECONDS_TO_SEND: Final = 5.0
_MOST_CHARACTERS: Final = 200
_Attribute = str | int | float | Sequence[str]
_Attributes = dict[str, _Attribute]


class Traces:
    """Writes the spans of a session. `with_texts` is whether prompts and answers are among their attributes."""

    def __init__(self, tracer: "Tracer", *, with_texts: bool = False) -> None:
        from opentelemetry import trace

        self._tracer = tracer
        self._with_texts = with_texts
        self._client = trace.SpanKind.CLIENT
        self._error = trace.Status(trace.StatusCode.ERROR)

    @contextmanager
    def pair(self, recipe: str, task: str) -> Iterator[None]:
        """A span around the making of a pair."""
        attributes = {"clairgen.recipe": recipe, "clairgen.task": task}
        with self._tracer.start_as_current_span(
            f"make_pair {recipe}", attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except Exception as error:
                span.set_attribute(
                    "error.type", error.reason if isinstance(error, RequestError) else type(error).__name__
                )
                span.set_status(self._error)
                raise

    def attempted(self, request: Request, endpoint: str, outcome: ChatAnswer | RequestError, seconds: float) -> None:
        """Write the span of an attempt that has just ended and took so long."""
        attributes = _of_request(request, endpoint) | _of_outcome(outcome)
        if self._with_texts:
            attributes |= _texts(request.messages, outcome)
        end = time.time_ns()
        name = f"{attributes['gen_ai.operation.name']} {request.role.settings.model}"
        start = end - int(seconds * 1e9)
        span = self._tracer.start_span(name, kind=self._client, attributes=attributes, start_time=start)
        if isinstance(outcome, RequestError):
            span.set_status(self._error)
        span.end(end)


@asynccontextmanager
async def open_traces(
    runtime: Runtime, note: Callable[[str], None], *, with_texts: bool = False
) -> AsyncIterator[Traces | None]:
    """The traces of a session, sent by its end; None where nobody asks for any. `note` is told why they cannot be sent."""
    provider = runtime.tracer_provider
    if provider is not None:
        yield Traces(provider.get_tracer("clairgen", __version__), with_texts=with_texts)
        return
    if not _names_collector(runtime.environment, note):
        yield None
        return
    with _complaints_as_notes(note):
        own = _provider_to_collector()
        try:
            yield Traces(own.get_tracer("clairgen", __version__), with_texts=with_texts)
        finally:
            # A collector that does not answer must not hold up the end of a run.
            sending = threading.Thread(target=own.shutdown, name="sending traces", daemon=True)
            sending.start()
            await asyncio.to_thread(sending.join, _SECONDS_TO_SEND)
            if sending.is_alive():
                note(f"the last traces could not be sent within {_SECONDS_TO_SEND:g} s, and are lost")


def _names_collector(environment: Mapping[str, str], note: Callable[[str], None]) -> bool:
    """Whether traces are asked for and can be sent."""
    is_off = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if is_off or environment.get("OTEL_TRACES_EXPORTER", "otlp").strip() == "none":
        return False
    if not any(map(environment.get, _ENDPOINT_VARIABLES)):
        return False
    protocol = next(filter(None, map(environment.get, _PROTOCOL_VARIABLES)), _PROTOCOL)
    if protocol != _PROTOCOL:
        note(
            f"no traces are sent: clairgen speaks {_PROTOCOL}; set OTEL_EXPORTER_OTLP_TRACES_PROTOCOL to that, not {protocol}"
        )
        return False
    if any(map(_is_missing, ("opentelemetry.sdk", "opentelemetry.exporter"))):
        note("no traces are sent to the collector that the environment names; for that: pip install 'clairgen[otel]'")
        return False
    return True


def _is_missing(module: str) -> bool:
    try:
        return find_spec(module) is None
    except ModuleNotFoundError:  # what it is in is not there either
        return True


def _provider_to_collector() -> "TracerProvider":
    """A tracer provider that sends spans as the standard variables of OpenTelemetry say."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create()
    if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": "clairgen"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class _FirstComplaint(logging.Handler):
    """Notes the first of what the exporter says, which it would print beside the progress otherwise."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._note: Callable[[str], None] | None = note

    def emit(self, record: logging.LogRecord) -> None:
        """See `Handler`."""
        note, self._note = self._note, None
        if note is not None:
            note(f"traces that cannot be sent are lost, and the run goes on: {record.getMessage()}")


@contextmanager
def _complaints_as_notes(note: Callable[[str], None]) -> Iterator[None]:
    logger, handler = logging.getLogger("opentelemetry"), _FirstComplaint(note)
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = not any(isinstance(one, _FirstComplaint) for one in logger.handlers)  # of other sessions


def _of_request(request: Request, endpoint: str) -> _Attributes:
    """What is asked; `openai` is the provider by convention where requests have its form, and the address says who it is."""
    sampling = request.role.sampling
    place = urlsplit(endpoint) if "://" in endpoint else None
    return _known(
        {
            "gen_ai.operation.name": sampling.api or "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": request.role.settings.model,
            "gen_ai.request.temperature": sampling.temperature,
            "gen_ai.request.top_p": sampling.top_p,
            "gen_ai.request.max_tokens": sampling.max_tokens,
            "server.address": None if place is None else place.hostname,
            "server.port": None if place is None else place.port,
            "clairgen.role": request.role.name,
            "clairgen.endpoint": endpoint,
            "clairgen.request.key": request.key,
        }
    )


def _of_outcome(outcome: ChatAnswer | RequestError) -> _Attributes:
    if isinstance(outcome, RequestError):
        return _known(
            {
                "clairgen.outcome": outcome.reason,
                "error.type": outcome.reason,
                "http.response.status_code": outcome.status,
            }
        )
    return _known(
        {
            "clairgen.outcome": ANSWERED,
            "gen_ai.response.finish_reasons": (outcome.finish_reason[:_MOST_CHARACTERS],),
            "gen_ai.response.id": outcome.response_id,
            "gen_ai.response.model": outcome.served_model,
            "gen_ai.usage.input_tokens": outcome.usage.prompt_tokens,
            "gen_ai.usage.output_tokens": outcome.usage.completion_tokens,
        }
    )


def _known(attributes: Mapping[str, _Attribute | None]) -> _Attributes:
    """The attributes that are known; of what a server wrote no more than its beginning."""
    return {
        name: value[:_MOST_CHARACTERS] if isinstance(value, str) else value
        for name, value in attributes.items()
        if value is not None
    }


def _texts(messages: Sequence[Message], outcome: ChatAnswer | RequestError) -> _Attributes:
    """Prompt and answer in the form that the conventions give them."""
    asked = [{"role": one.role, "parts": [{"type": "text", "content": one.content}]} for one in messages]
    texts: _Attributes = {"gen_ai.input.messages": json.dumps(asked)}
    if isinstance(outcome, ChatAnswer):
        parts = [{"type": "text", "content": outcome.text}]
        said = [{"role": "assistant", "parts": parts, "finish_reason": outcome.finish_reason}]
        texts["gen_ai.output.messages"] = json.dumps(said)
    return texts
