from typing import Any

import pytest

from clairgen.inference.rejection_rules import AtFault
from clairgen.inference.rejections import classified, error_body, refused_parameter


def openai(message: str, code: str | int | None = None, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


SETUP: list[tuple[str, int, Any]] = [
    ("no-credit", 402, openai("Insufficient Balance", "invalid_request_error", "unknown_error")),
    ("no-credit", 402, {"error": {"message": "Insufficient credits. Add more using https://x", "code": 402}}),
    ("no-credit", 400, openai("Your credit balance is too low. Please go to Plans & Billing to purchase credits.")),
    ("no-credit", 429, openai("You exceeded your current quota.", "insufficient_quota", "insufficient_quota")),
    ("no-credit", 400, openai("Billing hard limit has been reached", "billing_hard_limit_reached")),
    ("no-credit", 403, {"code": "Arrearage", "message": "Access denied, please make sure your account is in good standing."}),
    ("no-credit", 402, {}),
    ("invalid-key", 401, openai("Incorrect API key provided: sk-x.", "invalid_api_key")),
    ("invalid-key", 400, [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.",
                                     "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}}]),
    ("invalid-key", 403, openai("Your account has been deactivated", "account_deactivated")),
    ("unknown-model", 404, {"object": "error", "message": "The model `target` does not exist.", "code": 404}),
    ("unknown-model", 400, openai("/chat/completions: Invalid model name passed in model=target. Call `/v1/models`", "400")),
    ("unknown-model", 400, openai("No models loaded. Please load a model in the developer page.")),
    ("unknown-model", 404, {"error": "model 'llama9' not found"}),
    ("wrong-url", 200, {"error": "Unexpected endpoint or method. (POST /chat/completions)"}),
    ("wrong-url", 404, {"detail": "Not Found"}),
    ("wrong-url", 405, {}),
    ("no-access", 403, openai("You do not have access to the model", "permission_denied")),
    ("unsupported-parameter", 400, openai("Unsupported parameter: 'max_tokens' is not supported with this model.")),
    ("unsupported-parameter", 400, openai("Unsupported value: 'temperature' does not support 0.7 with this model.")),
    ("unsupported-parameter", 400, [{"error": {"code": 400, "message": 'Unknown name "seed": Cannot find field.'}}]),
    ("unsupported-parameter", 400, openai("Validation: Unsupported parameter(s): `stream_options`")),
    ("unsupported-parameter", 400, openai("Unrecognized request argument supplied: stream_options")),
    ("unsupported-parameter", 400, openai("this model does not support streaming")),
    ("unsupported-parameter", 400, openai("only non-streaming requests are allowed")),
    ("unsupported-parameter", 400, openai("Unsupported service_tier: flex")),
    ("unsupported-parameter", 400, openai("Flex is not available for this model.")),
    ("unsupported-parameter", 422, {"object": "error", "message": {"detail": [{"type": "extra_forbidden",
                                                                               "loc": ["body", "service_tier"],
                                                                               "msg": "Extra inputs are not permitted"}]}}),
    ("only-streams", 400, openai("This model only support stream mode, please enable the stream parameter.")),
    ("only-streams", 400, openai("parameter.enable_thinking must be set to false for non-streaming calls")),
    ("only-streams", 400, {"detail": "Stream must be set to true"}),
    ("only-streams", 422, openai("`stream` must be `true`")),
    ("only-streams", 400, openai("Non-streaming requests are not supported for this model")),
    ("only-streams", 400, openai("Streaming is required for operations that may take longer than 10 minutes")),
    ("only-streams", 200, {"error": {"code": 400, "message": "This endpoint only supports streaming"}}),
    ("unsupported-parameter", 422, {"object": "error", "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"],
                                                                               "msg": "Extra inputs are not permitted"}]}}),
]  # fmt: skip
PROMPT: list[tuple[str, int, Any]] = [
    (
        "context-overflow",
        400,
        openai("This model's maximum context length is 8192 tokens. You requested 9000"),
    ),
    (
        "context-overflow",
        400,
        openai("the request exceeds the available context size", None, "exceed_context_size_error"),
    ),
    ("context-overflow", 413, openai("prompt is too long: 210000 tokens > 200000 maximum")),
    (
        "context-overflow",
        422,
        {
            "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096",
            "error_type": "validation",
        },
    ),
    (
        "context-overflow",
        500,
        openai("The input (9000 tokens) is longer than the model's context length (8192 tokens)."),
    ),
    ("context-overflow", 400, openai("Please reduce the length of the messages or completion.")),
    (
        "content-policy",
        403,
        {"error": {"code": 403, "message": "Your chosen model requires moderation and your input was flagged"}},
    ),
    (
        "content-policy",
        400,
        openai("The response was filtered due to the prompt triggering content management policy", "content_filter"),
    ),
    ("content-policy", 400, openai("Content Exists Risk")),
    (
        "content-policy",
        400,
        {"code": "data_inspection_failed", "message": "Input data may contain inappropriate content."},
    ),
    (
        "content-policy",
        400,
        openai("Invalid prompt: your prompt was flagged as potentially violating our usage policy.", "invalid_prompt"),
    ),
    ("request-too-large", 413, {}),
    (
        "request-too-large",
        429,
        openai(
            "Request too large for gpt-4 on tokens per min (TPM): Limit 10000, Requested 12000.", "rate_limit_exceeded"
        ),
    ),
]


def of(status: int, content: object) -> tuple[AtFault, str]:
    body = error_body(content) or error_body({"error": "no explanation"})
    assert body is not None
    found = classified(body.status or status if status == 200 else status, body)
    return found.fault, found.reason


@pytest.mark.parametrize(("reason", "status", "content"), SETUP)
def test_faults_of_account_model_or_address_concern_every_request(reason: str, status: int, content: object) -> None:
    assert of(status, content) == (AtFault.SETUP, reason)


@pytest.mark.parametrize(("reason", "status", "content"), PROMPT)
def test_faults_of_one_prompt_concern_its_task_alone(reason: str, status: int, content: object) -> None:
    assert of(status, content) == (AtFault.PROMPT, reason)


@pytest.mark.parametrize(
    ("status", "content", "fault"),
    [
        (429, openai("Rate limit reached for requests"), AtFault.RATE),
        (200, {"error": {"code": 429, "message": "Provider returned error"}}, AtFault.RATE),
        (200, {"error": {"code": 502, "message": "Upstream is away"}}, AtFault.SERVER),
        (503, openai("Loading model"), AtFault.SERVER),
        (429, openai("Resource has been exhausted (e.g. check quota)."), AtFault.RATE),
        (429, openai("Resource unavailable"), AtFault.SERVER),
        (498, {}, AtFault.SERVER),
        (500, openai("Internal error while checking the API key service"), AtFault.SERVER),
        (529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, AtFault.SERVER),
        (400, openai("Bad Request"), AtFault.UNCLEAR),
        (422, openai("The messages must alternate between user and assistant"), AtFault.UNCLEAR),
        (403, openai("Forbidden"), AtFault.UNCLEAR),
        (418, openai("I'm a teapot"), AtFault.UNCLEAR),
    ],
)
def test_what_the_words_leave_open_is_told_by_the_status_or_stays_unclear(
    status: int, content: object, fault: AtFault
) -> None:
    assert of(status, content)[0] is fault


@pytest.mark.parametrize(
    ("said", "field"),
    [
        (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            "max_tokens",
        ),
        ('Unknown name "seed": Cannot find field.', "seed"),
        ("Unrecognized request argument supplied: seed", "seed"),
        ("property 'logprobs' is unsupported", "logprobs"),
        ("Additional properties are not allowed", None),
        ("The prompt is not supported", None),
        ("", None),
    ],
)
def test_a_refused_field_is_named(said: str, field: str | None) -> None:
    assert refused_parameter(said) == field


@pytest.mark.parametrize(
    "content", [None, 7, "text", [], {}, {"choices": [{}]}, {"error": None}, {"error": {}}, {"error": []}]
)
def test_what_holds_no_error_is_none(content: object) -> None:
    assert error_body(content) is None


def test_a_hostile_body_is_read_in_bounded_depth_and_length() -> None:
    deep: dict[str, Any] = {"code": "x"}
    for _ in range(900):
        deep = {"details": deep}
    body = error_body({"error": {"message": "m" * 10**6, "details": deep}})
    assert body is not None
    assert len(body.message) == 301


@pytest.mark.parametrize("depth", [900, 1010, 1020])
def test_an_error_nested_deeply_is_still_one(depth: int) -> None:
    nested: object = []
    for _ in range(depth):
        nested = [nested]
    assert error_body({"error": {"message": nested}}) is not None
