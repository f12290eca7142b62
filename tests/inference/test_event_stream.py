import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairgen.errors import RequestError, RequestFailedError, RetryableError
from clairgen.inference import event_stream
from clairgen.inference.event_stream import is_event_stream, read_events, with_events_read
from clairgen.inference.openai_format import ChatAnswer, read_response
from clairgen.inference.transport import MAX_BODY_BYTES, Response
from clairgen.records import Usage
from tests.streams import DONE, chunk, deltas, event, split, stream, usage, whole

STOP = chunk(finish_reason="stop")
TEXT = "Grüße aus 東京 👋: “yes”,\nsaid the bear."


async def pieces_of(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def response(*pieces: bytes, idle_seconds: float | None = None) -> Response:
    return await read_events(200, {}, pieces_of(pieces), idle_seconds)


async def answer(*pieces: bytes, needs_done: bool = True) -> ChatAnswer:
    return read_response(await response(*pieces), now_seconds=0.0, needs_done=needs_done)


async def failure(*pieces: bytes) -> RequestError:
    with pytest.raises(RequestError) as caught:
        await answer(*pieces)
    return caught.value


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 4000), max_size=12), st.sampled_from(["\n", "\r\n", "\r"]), st.integers(1, 40))
def test_a_stream_is_the_same_answer_however_it_is_cut_into_pieces(places: list[int], end: str, size: int) -> None:
    body = stream(*whole(TEXT, size=size)[:-1], event("[DONE]", end=end), end=end)
    got = asyncio.run(answer(*split(body, places)))
    assert (got.text, got.finish_reason, got.usage, got.response_id, got.repaired) == (
        TEXT,
        "stop",
        Usage(10, 5),
        "chatcmpl-1",
        False,
    )


async def test_the_servers_names_of_model_and_version_are_those_of_the_first_event_that_has_them() -> None:
    *events, done = whole("yes")
    names = {"system_fingerprint": "fp", "service_tier": "flex"}
    named = [one | {"model": f"m-{number}"} | names for number, one in enumerate(events)]
    got = await answer(stream(*named, done))
    assert (got.text, got.served_model, got.system_fingerprint, got.service_tier) == ("yes", "m-0", "fp", "flex")


async def test_of_several_service_tiers_the_last_one_was_used() -> None:
    first, *others, done = whole("yes")
    tiers = [first | {"service_tier": "flex"}, *(one | {"service_tier": "default"} for one in others)]
    assert (await answer(stream(*tiers, done))).service_tier == "default"
    assert (
        await answer(stream(tiers[0], *(one | {"service_tier": None} for one in others), done))
    ).service_tier == "flex"


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf" + stream(*whole("yes")),
        b"\n\n: hello\n\n" + stream(*whole("yes")),
        b"data:" + json.dumps(chunk({"content": "yes"})).encode() + b"\n\n" + stream(chunk(finish_reason="stop"), DONE),
        stream(*whole("yes")[:-1]) + b"data: [DONE]",
        stream(*whole("yes")[:-1]) + b"data:[DONE]\n",
        stream(*whole("yes")).replace(b"\n\n", b"\n"),
        stream(*whole("yes")).replace(b"\n\n", b"\n \n").replace(b"[DONE]\n \n", b"[DONE]\n\n"),
        stream(*whole("yes")).replace(b"data: ", b": OPENROUTER PROCESSING\n\nevent: chunk\nid: 7\nretry: 9\ndata: "),
        stream(chunk({"content": "yes"}), event("{}", name="ping"), event("", name=""), chunk(finish_reason="stop"), DONE),
        stream(chunk({"content": "yes"}), event("alive", name="heartbeat"), chunk(finish_reason="stop"), DONE),
        stream(event(json.dumps(chunk({"content": "yes"}), indent=1).replace("\n", "\ndata: ")),
               chunk(finish_reason="stop"), DONE),
        stream(chunk({"content": "y"}), chunk({"content": "es"}, finish_reason="stop"), DONE),
        stream(chunk({"content": "yes"}), chunk({"content": None}, finish_reason="stop"), DONE, event("junk"), b"{}\n\n"),
        stream({"choices": [{"index": 0, "message": {"content": "yes"}, "finish_reason": "stop"}]}, DONE),
        stream(chunk({"content": "y"}), chunk({"content": "es"}),
               chunk(None, message={"content": "yes"}, finish_reason="stop"), DONE),
        stream(chunk({"content": [{"type": "thinking", "thinking": "no"}]}),
               chunk({"content": [{"type": "text", "text": "yes"}]}), chunk(finish_reason="stop"), DONE),
        stream(chunk({"content": "yes"}, finish_reason="null"), chunk(finish_reason="stop"), DONE),
        stream(*whole("yes"), chunk({"content": "more"})),
        stream({"choices": [], "prompt_filter_results": []}, *whole("yes")),
        stream({"choices": None, "usage": {"prompt_tokens": 1}}, *whole("yes"), b"upstream connect error\n"),
        stream({"provider": "OpenAI", "choices": []}, {"web_search": [{"content": "a page"}], "choices": []}, *whole("yes")),
        stream(chunk({"reasoning_details": [{"text": "hm"}]}), {"choices": [{"content_filter_results": {}}]}, *whole("yes")),
        stream({"type": "info"}, chunk({"content": "y", "text": "y"}), chunk({"content": "es", "role": "assistant"}), STOP, DONE),
        stream(chunk({"content": [{"type": "reference", "ids": [1]}, {"type": "text", "text": ""}, "yes"]}), STOP, DONE),
    ],
)  # fmt: skip
async def test_whatever_servers_write_around_it_is_no_part_of_the_answer(body: bytes) -> None:
    got = await answer(body)
    assert (got.text, got.finish_reason) == ("yes", "stop")


async def test_what_the_model_thought_and_other_choices_stay_out_of_the_text() -> None:
    other = {"index": 1, "delta": {"content": "other"}, "finish_reason": "length"}
    both = chunk({"content": "yes"})
    both["choices"].append(other)
    body = stream(*deltas("let me see", field="reasoning_content"), both, chunk(finish_reason="stop"), usage(), DONE)
    got = await answer(body)
    assert (got.text, got.finish_reason) == ("yes", "stop")
    message = json.loads((await response(body)).body)["choices"][0]["message"]
    assert message["reasoning_content"] == "let me see"


UNFINISHED: list[tuple[str, list[Any]]] = [
    ("broken-off", [*deltas("half of"), DONE]),
    ("broken-off", deltas("half of")),
    ("broken-off", [*deltas("all of it"), STOP, usage()]),
    ("unreadable-stream", [*deltas("half of"), b'data: {"choices": [{"del']),
    ("unreadable-stream", [*deltas("half of"), event("<html>"), *whole("x")]),
    ("unreadable-stream", [*deltas("half"), b'{"error": {"code": 500}}\n\n', STOP, DONE]),
    ("unreadable-stream", [*deltas("half"), b' data: {"choices": []}\n\n', STOP, DONE]),
    ("unreadable-stream", [*deltas("half"), b'Data: {"choices": []}\n\n', STOP, DONE]),
    ("unreadable-stream", [chunk({"content": 42}), STOP, DONE]),
    ("unreadable-stream", [chunk({"content": "a"}), chunk(message={"content": "abc"}, finish_reason="stop"), DONE]),
    ("unreadable-stream", [event("5"), DONE]),
    ("unreadable-stream", [event('{"choices": [{"delta": {"content": "a", "content": "b"}}]}'), STOP, DONE]),
    *(
        ("unreadable-stream", [*deltas("half"), strange, STOP, DONE])
        for strange in (
            chunk({"text": "of it"}),
            chunk({"contents": "of it"}),
            {"choices": [{"index": 0, "deltas": {"content": "of it"}}]},
            {"chioces": [{"index": 0, "delta": {"content": "of it"}}]},
            chunk({"message": {"content": "of it"}}),
            chunk([{"content": "of it"}]),
            chunk("of it"),
            chunk({"content": "of it"}, index=-1),
            chunk({"content": "of it", "role": "user"}),
            chunk({"content": [{"type": "markdown", "text": "of it"}]}),
            chunk({"content": [{"type": "text", "content": "of it"}]}),
            {"choices": [{"index": 0, "text": "of it"}]},
            {"choices": {"0": {"delta": {"content": "of it"}}}},
            {"choices": ["of it"]},
            {"choices": None, "delta": {"content": "of it"}},
            event('{"choices": [{"index": 1, "index": 0, "delta": {"content": "of it"}}]}'),
            event('{"choices": [{"delta": {"content": "of', name="shipping"),
            b"upstream connect error\n",
            b"DATA: of it\n",
            b"\xc2\xa0data: of it\n",
            b"\xef\xbb\xbfdata: of it\n",
            b"\0",
            b"<html>\n",
        )
    ),
    (
        "unreadable-stream",
        [chunk({"content": text}) for text in ("It is", "It is so", "It is so, yes.")] + [STOP, DONE],
    ),
    ("unreadable-stream", [chunk(message={"content": text}) for text in ("It is", "No")] + [STOP, DONE]),
    ("server-error", [*deltas("half"), chunk({"error": {"code": 500, "message": "x"}}), STOP, DONE]),
    ("refusal", [*deltas("half"), chunk({"refusal": "I cannot"}), STOP, DONE]),
    ("tool-call", [chunk(message={"content": None, "tool_calls": [{"id": "1"}]}, finish_reason="stop"), DONE]),
    ("refusal", [chunk(message={"content": None, "refusal": "no"}, finish_reason="stop"), DONE]),
    ("broken-off", [chunk({"content": "half"}, error=[None]), DONE]),
    ("unreadable-stream", [chunk({"content": "half", "role": ["user"]}), event("[" * 5000 + "]" * 5000), STOP, DONE]),
    ("no-choices", [DONE]),
    ("no-choices", [b""]),
    ("no-choices", [{"type": "content_block_delta", "delta": {"text": "x"}}, DONE]),
    ("empty-answer", [*deltas(""), STOP, DONE]),
    ("content-filter", [*deltas("x"), chunk(finish_reason="content_filter"), DONE]),
    ("aborted", [*deltas("x"), chunk(finish_reason="length"), chunk(finish_reason="error"), DONE]),
    ("refusal", [*deltas("no", field="refusal"), STOP, DONE]),
    ("tool-call", [chunk({"tool_calls": [{"index": 0}]}), STOP, DONE]),
    ("tool-call", [chunk({"content": "Let me look"}), chunk({"tool_calls": [{"index": 0}]}), STOP, DONE]),
    ("server-error", [*deltas("x"), {"error": {"code": 502, "message": "upstream"}}, DONE]),
    ("server-error", [*whole("x")[:-1], {"error": {"code": 502, "message": "upstream"}}, DONE]),
    ("server-error", [*deltas("x"), event({"message": "broke"}, name="error"), *whole("y")]),
    ("server-error", [*deltas("x"), event("broke", name="error"), *whole("y")]),
    ("server-error", [chunk({"content": "x"}, error={"code": 502}, finish_reason="stop"), DONE]),
    ("rate-limited", [{"error": {"code": 429, "message": "slow down"}}]),
    ("no-credit", [{"error": {"code": 402, "message": "Insufficient credits"}}, DONE]),
    ("content-policy", [[{"error": {"code": 403, "message": "flagged by moderation"}}]]),
]
OF_THE_REQUEST = {"content-filter", "refusal", "tool-call", "content-policy"}


@pytest.mark.parametrize(("reason", "events"), UNFINISHED)
async def test_what_its_server_did_not_finish_is_never_an_answer(reason: str, events: list[Any]) -> None:
    found = await failure(stream(*events))
    assert (found.reason, isinstance(found, RetryableError)) == (reason, reason not in OF_THE_REQUEST)


@pytest.mark.slow
@pytest.mark.parametrize(("end", "needs_done"), [("\n", True), ("\r\n", False)])
async def test_no_beginning_of_a_stream_is_taken_for_the_answer(end: str, needs_done: bool) -> None:
    body = stream(*whole(TEXT, size=40)[:-1], event("[DONE]", end=end), end=end)
    answers = set()
    for length in range(len(body) + 1):
        with contextlib.suppress(RetryableError):
            answers.add((await answer(body[:length], needs_done=needs_done)).text)
    assert answers == {TEXT}


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking"])
async def test_a_stream_s_thoughts_are_kept_apart_from_its_text(field: str) -> None:
    got = await answer(stream(*deltas(TEXT, field=field), *whole("yes")[1:]))
    assert (got.text, got.thinking) == ("yes", TEXT)
    parts = [
        chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": piece}]}]}) for piece in "hm"
    ]
    assert (await answer(stream(*parts, *whole("yes")[1:]))).thinking == "hm"
    cut = await answer(stream(*deltas("hm", field=field), chunk(finish_reason="length"), DONE))
    assert (cut.text, cut.thinking, cut.finish_reason) == ("", "hm", "length")


async def test_an_error_after_a_part_of_the_answer_may_be_billed_and_one_before_it_is_not() -> None:
    limit = {"error": {"code": 429, "message": "slow down"}}
    assert (await failure(stream(*deltas("half"), usage(10, 4), limit))).billed
    assert (await failure(stream(*deltas("half"), usage(10, 4), limit))).used == (10, 4)
    assert not (await failure(stream(limit))).billed
    assert (await failure(stream(*deltas("half"), usage(10, 4), DONE))).used == (10, 4)


async def test_a_server_that_never_sends_done_can_be_believed() -> None:
    body = stream(*deltas("all of it"), chunk(finish_reason="stop"), usage())
    assert (await answer(body, needs_done=False)).text == "all of it"
    assert "stream_ends_with_done: false" in (await failure(body)).detail
    with pytest.raises(RetryableError, match="without a finish reason"):
        await answer(stream(*deltas("half"), usage()), needs_done=False)


@pytest.mark.parametrize(
    ("counts", "used"),
    [
        ([usage(10, 1), usage(10, 3), usage(10, 5)], Usage(10, 5)),
        ([usage(10, 0), {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 5}}], Usage(10, 5)),
        ([{"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 40}}], Usage(10, 30)),
        ([{"choices": [{"index": 0, "delta": {}, "usage": {"prompt_tokens": 10, "completion_tokens": 5}}]}], Usage(10, 5)),
        ([{"choices": [], "usage": {"prompt_tokens": True, "completion_tokens": "5"}}], Usage()),
        ([], Usage()),
    ],
)  # fmt: skip
async def test_tokens_are_those_of_the_end_however_often_they_are_counted(counts: list[Any], used: Usage) -> None:
    body = stream(*deltas("yes"), *counts, chunk(finish_reason="stop"), DONE)
    assert (await answer(body)).usage == used


async def test_halves_of_a_surrogate_pair_in_two_chunks_are_one_character() -> None:
    one, two = (event(json.dumps(chunk({"content": "@"})).replace("@", half)) for half in ("\\ud83d", "\\udc4b"))
    got = await answer(stream(one, two, chunk(finish_reason="stop"), DONE))
    assert (got.text, got.repaired) == ("👋", False)
    alone = await answer(stream(one, chunk(finish_reason="stop"), DONE))
    assert (alone.text, alone.repaired) == ("\ufffd", True)


async def test_bytes_that_are_not_utf_8_lose_no_paid_answer() -> None:
    got = await answer(stream(*whole("yes@")).replace(b"@", b"\xff"))
    assert (got.text, got.repaired) == ("yes\ufffd", True)


@pytest.mark.parametrize(
    "body", [b'{"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}', b"\n [1]", b"<html>"]
)
async def test_a_body_that_only_calls_itself_a_stream_is_read_as_what_it_is(body: bytes) -> None:
    assert (await response(body[:1], body[1:])).body == body


async def test_a_stream_under_another_name_is_read_too() -> None:
    body = stream(*whole("yes"))
    found = await with_events_read(Response(200, {"content-type": "text/plain"}, body))
    assert read_response(found, now_seconds=0.0).text == "yes"
    plain = Response(200, {}, b'{"choices": []}')
    assert await with_events_read(plain) is plain


async def test_an_error_page_may_be_an_event() -> None:
    body = event({"error": {"message": "Invalid API key"}}, name="error")
    found = await with_events_read(Response(400, {"content-type": "text/event-stream"}, body))
    with pytest.raises(RetryableError, match="invalid-key"):
        read_response(found, now_seconds=0.0)
    silent = Response(500, {}, b": sorry\n\n")
    assert await with_events_read(silent) is silent


def test_only_a_good_response_of_that_type_is_a_stream() -> None:
    assert is_event_stream(200, {"content-type": "Text/Event-Stream; charset=utf-8"})
    assert not is_event_stream(200, {"content-type": "application/json"})
    assert not is_event_stream(400, {"content-type": "text/event-stream"})
    assert not is_event_stream(200, {})


async def test_comments_do_not_keep_a_silent_stream_alive() -> None:
    async def silent() -> AsyncIterator[bytes]:
        yield stream(*deltas("half"))
        while True:
            await asyncio.sleep(0.01)
            yield b": still here\n\n"

    start = time.monotonic()
    with pytest.raises(TimeoutError):
        await read_events(200, {}, silent(), 0.2)
    assert time.monotonic() - start < 5


async def test_what_happens_to_the_connection_after_the_end_does_not_matter() -> None:
    async def open_end(after: Exception | None) -> AsyncIterator[bytes]:
        yield stream(*whole("yes"))
        if after is not None:
            raise after
        await asyncio.sleep(60)

    for after in (RetryableError("torn-connection", "reset"), None):
        start = time.monotonic()
        found = await read_events(200, {}, open_end(after), 30)
        assert read_response(found, now_seconds=0.0).text == "yes"
        assert time.monotonic() - start < 10


async def endless(piece: bytes) -> AsyncIterator[bytes]:
    while True:
        yield piece
        await asyncio.sleep(0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("piece", "what"),
    [
        (event(chunk({"content": "x" * 20_000})), "more text than"),
        (event(chunk({"reasoning": "x" * 20_000})), "more text than"),
        (b"data: " + b"x" * 50_000, "more text in one event"),
        (b"data: " + b"x" * 50_000 + b"\n", "more text in one event"),
        (b": " + b"x" * 500_000 + b"\n", "more bytes"),
    ],
)
async def test_a_stream_without_end_is_given_up(piece: bytes, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "MAX_STREAM_BYTES", 20_000_000)
    with pytest.raises(RequestFailedError, match=what) as caught:
        await read_events(200, {}, endless(piece), None)
    assert (caught.value.reason, caught.value.billed) == ("answer-too-large", True)


async def test_events_without_end_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "_MOST_EVENTS", 500)
    with pytest.raises(RequestFailedError, match="more events"):
        await read_events(200, {}, endless(event(chunk())), None)


async def test_an_answer_of_the_largest_size_is_read_in_many_events() -> None:
    size = 40_000
    text = "x" * (MAX_BODY_BYTES // 4)
    got = await answer(stream(*whole(text, size=size)))
    assert len(got.text) == len(text)
