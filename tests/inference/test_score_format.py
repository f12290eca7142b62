"""Scores of vLLM's three APIs for reward models, in the shapes of its protocol, and what is refused."""

import json
from typing import Any

import pytest

from clairgen.errors import RequestFailedError, RetryableError
from clairgen.inference.openai_format import read_response
from clairgen.inference.score_format import score_request_body
from clairgen.inference.transport import Response
from clairgen.records import Message, Sampling, Usage

CONVERSATION = (Message("system", "Be brief."), Message("user", "2 + 2?"), Message("assistant", "4"))


def result(api: str, score: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever a server sends
    if api == "classify":
        return {"index": 0, "label": "LABEL_0", "probs": [score], "num_classes": 1}
    if api == "pooling":
        return {"index": 0, "object": "pooling", "data": [score]}
    return {"index": 0, "object": "score", "score": score}


def body(*data: Any, tokens: int = 12) -> str:  # noqa: ANN401
    usage = {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0, "prompt_tokens_details": None}
    content = {"id": "classify-1", "object": "list", "created": 1, "model": "rm", "data": list(data), "usage": usage}
    return json.dumps(content)


def read(text: str, api: str, status: int = 200) -> tuple[float, Usage]:
    answer = read_response(Response(status, {}, text.encode()), now_seconds=0.0, api=api)
    assert (answer.finish_reason, answer.served_model, answer.response_id) == ("stop", "rm", "classify-1")
    return float(answer.text), answer.usage


@pytest.mark.parametrize("api", ["classify", "pooling", "score"])
def test_each_api_gives_one_number_and_takes_the_tokens_of_its_prompt(api: str) -> None:
    assert read(body(result(api, -27.34375)), api) == (-27.34375, Usage(12, 0))
    assert read(body(result(api, 3)), api)[0] == 3.0


def test_of_a_reward_model_over_tokens_the_last_one_counts() -> None:
    per_token = {"index": 0, "object": "pooling", "data": [[0.5], [-1.25], [2.75]]}
    assert read(body(per_token), "pooling")[0] == 2.75


@pytest.mark.parametrize(
    ("text", "api", "reason"),
    [
        (body(result("classify", None)), "classify", "score-not-a-number"),
        (body(result("classify", "3")), "classify", "score-not-a-number"),
        (body(result("score", True)), "score", "score-not-a-number"),
        (body(result("score", float("nan"))), "score", "score-not-a-number"),
        (body(result("score", 10**400)), "score", "score-not-a-number"),
        (body(result("pooling", float("-inf"))), "pooling", "score-not-a-number"),
        (body({"index": 0, "data": "base64=="}), "pooling", "score-not-a-number"),
        (body({"index": 0, "probs": [0.1, 0.9], "num_classes": 2}), "classify", "several-scores"),
        (body({"index": 0, "data": [[0.1, 0.9], [0.2, 0.8]]}), "pooling", "several-scores"),
        (body(result("score", 1.0), result("score", 2.0)), "score", "several-scores"),
        (body({"index": 0, "probs": []}), "classify", "no-score"),
        (body(), "classify", "no-score"),
        (body("LABEL_0"), "classify", "no-score"),
        (body(result("pooling", 1.0)), "classify", "no-score"),  # another API's answer
        (json.dumps({"data": {"score": 1}}), "score", "no-score"),
        (json.dumps({"choices": [{"message": {"content": "7"}}]}), "classify", "no-score"),
    ],
)
def test_what_is_no_score_is_refused_by_name(text: str, api: str, reason: str) -> None:
    with pytest.raises(RequestFailedError) as raised:
        read(text, api)
    assert (raised.value.reason, raised.value.status, raised.value.billed) == (reason, 200, True)


def test_a_score_that_is_there_twice_is_not_read() -> None:
    twice = body(result("score", 1.0)).replace('"score": 1.0', '"score": 1.0, "score": 2.0')
    with pytest.raises(RetryableError, match="the key 'score' twice"):
        read(twice, "score")


def test_errors_are_those_of_every_request() -> None:
    too_long = json.dumps({"error": {"message": "This model's maximum context length is 1024 tokens.", "code": 400}})
    with pytest.raises(RequestFailedError) as raised:
        read(too_long, "classify", 400)
    assert raised.value.reason == "context-overflow"
    with pytest.raises(RequestFailedError) as raised:
        read(too_long, "classify")  # inside HTTP 200
    assert raised.value.reason == "context-overflow"
    with pytest.raises(RetryableError, match="not a JSON object"):
        read("<html>", "classify")


def test_a_request_has_the_conversation_and_nothing_about_sampling() -> None:
    sampling = Sampling(extra={"use_activation": False, "truncate_prompt_tokens": 100}, api="classify")
    sent = json.loads(score_request_body("rm", CONVERSATION, sampling))
    assert sent == {
        "model": "rm",
        "messages": [{"role": one.role, "content": one.content} for one in CONVERSATION],
        "use_activation": False,
        "truncate_prompt_tokens": 100,
    }
    of_pairs = json.loads(score_request_body("rm", CONVERSATION, Sampling(api="score")))
    assert of_pairs == {"model": "rm", "text_1": "System: Be brief.\n\nUser: 2 + 2?", "text_2": "4"}
