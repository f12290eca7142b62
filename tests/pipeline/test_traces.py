"""Traces: a span for each request below one for its pair, in memory and at a collector; texts only if asked for."""

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from clairgen.inference.runtime import Runtime
from clairgen.pipeline.generate import Options, generate
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.traces import open_traces
from tests.runs import REVISER, TARGET, config, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, refused

KEY = "sk-made-up-0123456789"


async def no_wait(_seconds: float) -> None:
    """Sleep for no time."""


async def generated(folder: Path, runtime: Runtime, *, log_texts: bool = False) -> Progress:
    """A run of three tasks, of which each is first refused by the target, and one is never answered."""
    seen: set[str] = set()

    def script(request: dict[str, Any]) -> Reply:
        prompt = request["messages"][-1]["content"]
        if request["model"] == TARGET and prompt.endswith("2"):
            return refused(400, f"cannot say {prompt} to {KEY}", code="content_filter")
        if request["model"] == TARGET and prompt not in seen:
            seen.add(prompt)
            return refused(503, f"busy with {prompt} and {KEY}")
        return played(request)

    progress = Progress()
    async with ScriptedEndpoint(script) as endpoint:
        given = config(endpoint.url, write_tasks(folder / "tasks.jsonl", questions(3)), recipes=["clair"])
        options = Options(log_texts=log_texts)
        await generate(given, folder / "run", options, progress=progress, runtime=runtime)
    return progress


async def spans_of(folder: Path, *, log_texts: bool = False) -> list[ReadableSpan]:
    """The spans of that run."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    await generated(folder, Runtime(sleep=no_wait, tracer_provider=provider), log_texts=log_texts)
    provider.shutdown()
    return list(exporter.get_finished_spans())


async def test_every_request_is_a_span_below_that_of_its_pair(tmp_path: Path) -> None:
    found = await spans_of(tmp_path)
    pairs = {span.context.span_id: span for span in found if span.kind is SpanKind.INTERNAL}
    requests = [span for span in found if span.kind is SpanKind.CLIENT]
    assert [span.name for span in pairs.values()] == ["make_pair clair"] * 3
    assert sorted(str((span.attributes or {}).get("error.type")) for span in pairs.values()) == [
        "None",
        "None",
        "content-policy",
    ]
    assert all(span.parent is not None and span.parent.span_id in pairs for span in requests)
    outcomes = [(span.name, (span.attributes or {})["clairgen.outcome"], span.status.status_code) for span in requests]
    assert sorted(outcomes) == sorted(
        [
            *[(f"chat {TARGET}", "answered", StatusCode.UNSET)] * 2,
            *[(f"chat {REVISER}", "answered", StatusCode.UNSET)] * 2,
            *[(f"chat {TARGET}", "server-error", StatusCode.ERROR)] * 2,
            (f"chat {TARGET}", "content-policy", StatusCode.ERROR),
        ]
    )
    for span in requests:
        parent = pairs[span.parent.span_id] if span.parent else span
        assert (parent.start_time or 0) <= (span.start_time or 0) <= (span.end_time or 0) <= (parent.end_time or 0)


async def test_the_attributes_are_those_of_the_conventions_for_generative_ai(tmp_path: Path) -> None:
    found = await spans_of(tmp_path)
    revised = next(dict(span.attributes or {}) for span in found if span.name == f"chat {REVISER}")
    endpoint, key = str(revised.pop("clairgen.endpoint")), revised.pop("clairgen.request.key")
    assert (endpoint, len(str(key))) == (f"http://127.0.0.1:{revised.pop('server.port')}/v1", 64)
    assert revised == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": REVISER,
        "gen_ai.request.temperature": 0.7,
        "gen_ai.request.max_tokens": 100,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.usage.input_tokens": 200,
        "gen_ai.usage.output_tokens": 30,
        "server.address": "127.0.0.1",
        "clairgen.role": "reviser",
        "clairgen.outcome": "answered",
    }
    failed = [dict(span.attributes or {}) for span in found if span.status.status_code is StatusCode.ERROR]
    assert {("server-error", 503), ("content-policy", 400)} <= {
        (one["error.type"], one.get("http.response.status_code")) for one in failed
    }


@pytest.mark.parametrize("log_texts", [False, True])
async def test_texts_are_in_spans_only_if_they_may_be_in_the_log(tmp_path: Path, log_texts: bool) -> None:
    written = "".join(span.to_json() for span in await spans_of(tmp_path, log_texts=log_texts))
    assert ("Question number 1" in written, "now better" in written) == (log_texts, log_texts)
    assert "cannot say" not in written
    assert KEY not in written


async def test_texts_have_the_form_of_the_conventions(tmp_path: Path) -> None:
    [span, *_] = [one for one in await spans_of(tmp_path, log_texts=True) if one.name == f"chat {REVISER}"]
    attributes = dict(span.attributes or {})
    [asked] = json.loads(str(attributes["gen_ai.input.messages"]))
    assert (asked["role"], asked["parts"][0]["type"]) == ("user", "text")
    [said] = json.loads(str(attributes["gen_ai.output.messages"]))
    assert (said["role"], said["finish_reason"]) == ("assistant", "stop")
    assert "now better" in said["parts"][0]["content"]


@contextlib.asynccontextmanager
async def collector(bodies: list[bytes]) -> AsyncIterator[str]:
    """The address of a collector that keeps what is posted to /v1/traces."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                assert head.startswith("post /v1/traces ")
                length = int(head.split("content-length: ")[1].split("\r\n")[0])
                bodies.append(await reader.readexactly(length))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.fixture
def otel(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No variable of OpenTelemetry or of a proxy."""
    for name in os.environ:
        if name.startswith("OTEL_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    return monkeypatch


async def test_a_collector_that_the_environment_names_has_all_spans_when_the_session_ends(
    tmp_path: Path, otel: pytest.MonkeyPatch
) -> None:
    bodies: list[bytes] = []
    async with collector(bodies) as address:
        otel.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        otel.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=tests")
        progress = await generated(tmp_path, Runtime(sleep=no_wait))
    [resource] = [one for body in bodies for one in ExportTraceServiceRequest.FromString(body).resource_spans]
    assert len([span for scope in resource.scope_spans for span in scope.spans]) == 3 + 7
    attributes = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert (attributes["service.name"], attributes["deployment.environment.name"]) == ("clairgen", "tests")
    assert progress.notes == []
    assert b"Question number" not in b"".join(bodies)


async def test_a_collector_that_is_gone_is_noted_once_and_holds_nothing_up(
    tmp_path: Path, otel: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with collector([]) as address:
        pass
    otel.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{address}/v1/traces")
    otel.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    progress = await generated(tmp_path, Runtime(sleep=no_wait))
    assert progress.made["clair"] == 2
    [note] = progress.notes
    assert note.startswith("traces that cannot be sent are lost, and the run goes on: Failed to export spans")
    assert caplog.records == []
    assert logging.getLogger("opentelemetry").handlers == []


@pytest.mark.parametrize(
    ("environment", "note"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "not grpc"),
    ],
)
async def test_without_a_collector_nothing_is_traced(environment: dict[str, str], note: str | None) -> None:
    notes: list[str] = []
    async with open_traces(Runtime(environment=environment), notes.append) as traces:
        assert traces is None
    assert [note in said for said in notes if note is not None] == ([True] if note else [])


async def test_without_the_packages_a_note_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    notes: list[str] = []
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    async with open_traces(Runtime(environment=environment), notes.append) as traces:
        assert traces is None
    assert "pip install 'clairgen[otel]'" in notes[0]
