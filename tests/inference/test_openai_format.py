import json

import pytest

from clairgen.errors import RequestFailedError, RetryableError, UnclearRejectionError, UnusableEndpointError
from clairgen.inference.openai_format import read_response, request_body
from clairgen.inference.transport import Response
from clairgen.records import Message, Sampling, Usage
from tests.scripted import Reply, refused, said

NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT


def response(reply: Reply) -> Response:
    return Response(reply.status, dict(reply.headers), reply.body)


def test_request_holds_what_is_set_and_nothing_else() -> None:
    sampling = Sampling(temperature=0.0, max_tokens=5, stop=("\n",), seed=3, extra={"min_p": 0.1})
    body = json.loads(request_body("m", [Message("user", "é {x}")], sampling, 99))
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "é {x}"}],
        "temperature": 0.0,
        "max_tokens": 5,
        "stop": ["\n"],
        "seed": 99,
        "min_p": 0.1,
    }
    assert json.loads(request_body("m", [], Sampling(), None)) == {"model": "m", "messages": []}


def test_good_answer_is_read_whole() -> None:
    answer = read_response(response(said(" yes\n", finish_reason="length", tokens=(7, 3))), now_seconds=NOW)
    assert (answer.text, answer.finish_reason, answer.usage, answer.response_id) == (
        " yes\n",
        "length",
        Usage(7, 3),
        "chatcmpl-1",
    )


def test_answer_without_usage_id_or_finish_reason_is_good() -> None:
    reply = Reply(b'{"choices": [{"message": {"content": "x"}}]}')
    answer = read_response(response(reply), now_seconds=NOW)
    assert (answer.finish_reason, answer.usage, answer.response_id) == ("missing", Usage(None, None), None)


def test_the_servers_names_of_model_and_version_are_kept_as_names() -> None:
    content: dict[str, object] = {
        "choices": [{"message": {"content": "x"}}],
        "model": " gpt-4-0125-preview ",
        "system_fingerprint": "fp_1",
    }
    answer = read_response(response(Reply(json.dumps(content).encode())), now_seconds=NOW)
    assert (answer.served_model, answer.system_fingerprint) == ("gpt-4-0125-preview", "fp_1")
    content |= {"model": {"name": "m"}, "system_fingerprint": "f" * 10_000}
    answer = read_response(response(Reply(json.dumps(content).encode())), now_seconds=NOW)
    assert (answer.served_model, answer.system_fingerprint) == (None, "f" * 200)


@pytest.mark.parametrize(
    ("said", "header", "tier"),
    [("default", None, "default"), (None, "flex", "flex"), ("priority", "flex", "priority"), (7, None, None)],
)
def test_the_service_tier_that_was_used_stands_in_the_answer_or_in_a_header(
    said: object, header: str | None, tier: str | None
) -> None:
    content = {"choices": [{"message": {"content": "x"}}], "service_tier": said}
    headers = {} if header is None else {"x-gemini-service-tier": header}
    answer = read_response(response(Reply(json.dumps(content).encode(), headers=headers)), now_seconds=NOW)
    assert answer.service_tier == tier


def test_content_in_parts_is_joined() -> None:
    assert read_response(response(said([{"type": "text", "text": "a"}, {"text": "b"}])), now_seconds=NOW).text == "ab"


def test_only_the_text_parts_of_a_content_list_are_the_answer() -> None:
    parts = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "reasoning", "text": "hm"},
        "a",
        {"type": "output_text", "text": "b"},
    ]
    assert read_response(response(said(parts)), now_seconds=NOW).text == "ab"


@pytest.mark.parametrize(
    ("message", "thinking"),
    [
        ({"content": "a", "reasoning_content": " hm\n", "reasoning": " hm\n"}, "hm"),
        ({"content": "a", "reasoning": {"content": "hm"}}, "hm"),
        ({"content": "a", "reasoning_details": [{"type": "reasoning.text", "text": "h"}, {"text": "m"}]}, "hm"),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, "a"]}, "hm"),
        ({"content": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}, "a"]}, "hm"),
        ({"content": [{"type": "redacted_thinking", "data": "xyz"}, "a"], "thinking": None}, ""),
        ({"content": "a", "reasoning": True, "thinking": []}, ""),
        ({"content": "a", "reasoning_content": "hm\ud83d"}, "hm\ufffd"),
    ],
)
def test_thoughts_apart_from_the_text_are_kept(message: dict[str, object], thinking: str) -> None:
    answer = read_response(response(said("", message=message)), now_seconds=NOW)
    assert (answer.text, answer.thinking) == ("a", thinking)


@pytest.mark.parametrize("content", [None, "", " "])
@pytest.mark.parametrize("finish_reason", ["length", "MAX_TOKENS"])
def test_an_answer_cut_off_before_it_began_is_kept_with_its_thoughts(content: str | None, finish_reason: str) -> None:
    reply = said("", finish_reason=finish_reason, message={"content": content, "reasoning": "hm"}, tokens=(7, 3))
    answer = read_response(response(reply), now_seconds=NOW)
    assert (answer.text.strip(), answer.thinking, answer.finish_reason) == ("", "hm", finish_reason)
    assert answer.usage == Usage(7, 3)


@pytest.mark.parametrize(
    ("body", "text", "repaired"),
    [
        (b'{"choices": [{"message": {"content": "caf\xe9"}}]}', "caf\ufffd", True),
        (b'{"choices": [{"message": {"content": "two\nlines"}}]}', "two\nlines", False),
        (b'\xef\xbb\xbf{"choices": [{"message": {"content": "a"}}]}', "a", False),
        (b'{"choices": [{"message": {"content": "a", "x": NaN}}]}', "a", False),
        (b'{"choices": [{"message": {"content": "\xef\xbf\xbd"}}]}', "\ufffd", False),
    ],
)
def test_odd_bytes_lose_no_paid_answer(body: bytes, text: str, repaired: bool) -> None:
    answer = read_response(response(Reply(body)), now_seconds=NOW)
    assert (answer.text, answer.repaired) == (text, repaired)


@pytest.mark.parametrize("count", [True, False, 0, -1, 10**9, 10**12, 2**70, 7.5, "7", None])
def test_a_count_of_tokens_that_cannot_be_true_is_unknown(count: object) -> None:
    body = json.dumps({"choices": [{"message": {"content": "a"}}], "usage": {"prompt_tokens": count}}).encode()
    assert read_response(response(Reply(body)), now_seconds=NOW).usage.prompt_tokens is None


@pytest.mark.parametrize(
    ("message", "usage", "used"),
    [
        ({"content": "a"}, {"prompt_tokens": 9, "completion_tokens": 0}, Usage(9, None)),
        ({"content": "a"}, {"prompt_tokens": 0, "completion_tokens": 3}, Usage(None, 3)),
        ({"content": "a"}, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, Usage(None, None)),
        ({"content": "a"}, {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 12}, Usage(9, 3)),
        ({"content": "a"}, {"prompt_tokens": 9, "completion_tokens": 10**12}, Usage(9, None)),
        ({"content": "a"}, [9, 3], Usage(None, None)),
    ],
)
def test_no_tokens_for_a_text_are_no_count(message: dict[str, str], usage: object, used: Usage) -> None:
    body = json.dumps({"choices": [{"message": message}], "usage": usage}).encode()
    assert read_response(response(Reply(body)), now_seconds=NOW).usage == used


@pytest.mark.parametrize(
    ("message", "used"),
    [({"content": ""}, (0, 0)), ({"content": "", "reasoning_content": "Let me think"}, None)],
)
def test_no_tokens_are_a_count_only_where_nothing_was_written(
    message: dict[str, str], used: tuple[int, int] | None
) -> None:
    usage = {"prompt_tokens": 0, "completion_tokens": 0}
    body = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}).encode()
    with pytest.raises(RetryableError) as raised:
        read_response(response(Reply(body)), now_seconds=NOW)
    assert raised.value.used == used


@pytest.mark.parametrize(
    "reply",
    [
        refused(400, "temperature must be a number"),
        Reply(b'{"detail": [{"loc": ["body"]}]}', 422),
        refused(418),
        refused(403, "Forbidden"),
    ],
)
def test_what_may_concern_this_request_or_every_one_is_unclear(reply: Reply) -> None:
    with pytest.raises(UnclearRejectionError):
        read_response(response(reply), now_seconds=NOW)


def test_half_a_surrogate_pair_in_an_answer_becomes_a_replacement_character() -> None:
    reply = Reply(b'{"choices": [{"message": {"content": "a\\ud83db"}}]}')
    assert read_response(response(reply), now_seconds=NOW).text == "a\ufffdb"


@pytest.mark.parametrize(
    ("text", "tokens", "counted"),
    [("word " * 400, 1, None), ("word " * 400, 99, None), ("word " * 400, 100, 100), ("word " * 80, 1, 1)],
)
def test_fewer_tokens_than_a_text_can_have_are_no_count(text: str, tokens: int, counted: int | None) -> None:
    used = read_response(response(said(text, tokens=(10, tokens))), now_seconds=NOW).usage
    assert used == Usage(10, counted)


def test_nobody_knows_which_of_two_equal_keys_counts() -> None:
    for twice in ('"content": "a", "content": "b"', '"content": "a"}, "message": {"content": "b"'):
        body = f'{{"choices": [{{"message": {{{twice}}}, "finish_reason": "stop"}}], "usage": null, "usage": null}}'
        with pytest.raises(RetryableError, match="twice in one object") as caught:
            read_response(Response(200, {}, body.encode()), now_seconds=NOW)
        assert (caught.value.reason, caught.value.billed) == ("repeated-key", True)
    quoted = said('the key "content" and "content": {"content": 1, "content": 2}')
    assert read_response(response(quoted), now_seconds=NOW).text.startswith("the key")
    parts = said([{"type": "text", "content": "x", "text": "a"}, {"type": "text", "content": "x", "text": "b"}])
    assert read_response(response(parts), now_seconds=NOW).text == "ab"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(b"<html><body>Welcome</body></html>", headers={"content-type": "text/html"}), "not-json"),
        (Reply(b'{"choices": [{"mess'), "not-json"),
        (Reply(b""), "not-json"),
        (Reply(b"[" * 100_000), "not-json"),
        (Reply(b'"text"'), "not-json"),
        (Reply(b"{}"), "no-choices"),
        (Reply(b'{"choices": []}'), "no-choices"),
        (Reply(b'{"choices": [null]}'), "no-choices"),
        (Reply(b'{"choices": [{"message": null}]}'), "no-choices"),
        (said(None), "empty-answer"),
        (said(""), "empty-answer"),
        (said(" \n"), "empty-answer"),
        (said(17), "empty-answer"),
        (refused(429), "rate-limited"),
        (refused(500), "server-error"),
        (Reply(b"<html>Bad gateway</html>", 502), "server-error"),
        (refused(503), "server-error"),
        (refused(408), "server-error"),
        (said("half", finish_reason="insufficient_system_resource"), "aborted"),
        (said("", finish_reason="load"), "not-run"),
        (Reply(b'{"error": {"code": 429, "message": "Provider returned error"}, "choices": null}'), "rate-limited"),
        (Reply(b'{"error": {"code": 502, "message": "Upstream is away"}}'), "server-error"),
        (Reply(b'{"error": {"message": "something odd"}}'), "server-error"),
        (
            Reply(b'{"choices": [{"message": {"content": "Half"}, "error": {"code": 502, "message": "hung up"}}]}'),
            "server-error",
        ),
        (
            Reply(b'{"choices": [{"message": {"content": "Half"}}], "error": {"code": 500, "message": "x"}}'),
            "server-error",
        ),
    ],
)
def test_what_may_go_well_the_next_time_is_retryable(reply: Reply, reason: str) -> None:
    with pytest.raises(RetryableError) as caught:
        read_response(response(reply), now_seconds=NOW)
    assert caught.value.reason == reason
    has_text = b"Half" in reply.body  # whatever status the error beside it names
    assert caught.value.billed == (has_text or (caught.value.status == 200 and reason != "not-run"))


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (
            refused(400, "This model's maximum context length is 8192 tokens", "context_length_exceeded"),
            "context-overflow",
        ),
        (refused(400, "the request exceeds the available context size"), "context-overflow"),
        (refused(400, "flagged", "content_policy_violation"), "content-policy"),
        (refused(413), "request-too-large"),
        (said(None, finish_reason="SAFETY"), "content-filter"),
        (said("half of it", finish_reason="content_filter: PROHIBITED_CONTENT"), "content-filter"),
        (Reply(b'{"choices": [{"index": 0, "finish_reason": "content_filter"}]}'), "content-filter"),
        (said(None, finish_reason="tool_calls"), "tool-call"),
        (Reply(b'{"choices": [{"finish_reason": "stop", "message": {"content": null, "refusal": "No."}}]}'), "refusal"),
        (Reply(b'{"error": {"code": 403, "message": "Your input was flagged"}}'), "content-policy"),
        (said(None, finish_reason="content_filter"), "content-filter"),
        (said("half of it", finish_reason="content_filter"), "content-filter"),
    ],
)
def test_what_this_request_will_always_get_fails_its_task_by_name(reply: Reply, reason: str) -> None:
    with pytest.raises(RequestFailedError) as caught:
        read_response(response(reply), now_seconds=NOW)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("reply", "advice"),
    [
        (refused(401), "check the API key"),
        (refused(403, "You do not have access to this model"), "may use this model"),
        (refused(402, "Insufficient Balance"), "add some"),
        (refused(400, "Your credit balance is too low"), "add some"),
        (refused(400, "Unsupported parameter: 'max_tokens'"), "max_completion_tokens"),
        (Reply(b'{"error": "Unexpected endpoint or method. (POST /chat/completions)"}'), "base URL"),
        (refused(404, "The model `x` does not exist"), "check the model's name"),
        (Reply(b"Not Found", 404), "base URL ends in /v1"),
        (refused(429, "You exceeded your current quota", "insufficient_quota"), "add some"),
        (Reply(b"", 302), "base URL"),
    ],
)
def test_what_every_request_will_get_makes_the_endpoint_unusable(reply: Reply, advice: str) -> None:
    with pytest.raises(UnusableEndpointError, match=advice):
        read_response(response(reply), now_seconds=NOW)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("Sun, 06 Nov 1994 08:49:47 GMT", 10.0),
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0.0),
        ("1994-11-06T08:49:47Z", 10.0),
        ("1994-11-06T08:49:47", None),
        ("2m", 120.0),
        ("1e300", 3600.0),
        ("1e7", 3600.0),
        ("soon", None),
    ],
)
def test_retry_after_is_read_in_every_form(value: str, seconds: float | None) -> None:
    with pytest.raises(RetryableError) as caught:
        read_response(response(refused(429, retry_after=value)), now_seconds=NOW)
    assert caught.value.retry_after_seconds == seconds


def test_quoted_answers_are_short_and_on_one_line() -> None:
    with pytest.raises(RetryableError) as caught:
        read_response(Response(500, {}, b"x\n\xff" * 100_000), now_seconds=NOW)
    assert len(caught.value.detail) < 400
    assert "\n" not in caught.value.detail
