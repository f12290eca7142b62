import pytest

from clairgen.finish_reason import FinishKind, finish_kind, finish_word

WORDS = {
    FinishKind.COMPLETE: "stop STOP end_turn END_TURN stop_sequence eos_token eosFound stopStringFound COMPLETE STOP_SEQUENCE "
    "recorded REASON_STOP",
    FinishKind.LENGTH: "length LENGTH max_tokens MAX_TOKENS model_length model_context_window_exceeded maxPredictedTokensReached "
    "contextLengthReached FINISH_REASON_MAX_TOKENS REASON_MAX_LEN max_output_tokens max_response_tokens "
    "context-window-full token_limit_hit",
    FinishKind.FILTERED: "content_filter SAFETY sensitive refusal RECITATION PROHIBITED_CONTENT SPII BLOCKLIST LANGUAGE "
    "IMAGE_SAFETY guardrail_intervened content_filtered ERROR_TOXIC safety_stop azure_content_filter_v2",
    FinishKind.ABORTED: "abort aborted error ERROR cancelled insufficient_system_resource network_error USER_CANCEL timeout "
    "modelUnloaded userStopped server_error upstream_error aborted_by_scheduler",
    FinishKind.TOOL_CALL: "tool_calls tool_use function_call MALFORMED_FUNCTION_CALL UNEXPECTED_TOOL_CALL toolCalls TOOL_CALL",
    FinishKind.NOT_RUN: "load unload",
    FinishKind.UNKNOWN: "null repetition FINISH_REASON_UNSPECIFIED OTHER banana stopgap tokens errorless",
}


@pytest.mark.parametrize(("kind", "word"), [(kind, word) for kind, words in WORDS.items() for word in words.split()])
def test_every_servers_word_has_its_kind(kind: FinishKind, word: str) -> None:
    assert finish_kind(word) is kind


@pytest.mark.parametrize(
    "word", ["content_filter: PROHIBITED_CONTENT", "content_filter: RECITATION", "content_filter:length"]
)
def test_what_follows_a_colon_only_explains(word: str) -> None:
    assert finish_kind(word) is FinishKind.FILTERED


@pytest.mark.parametrize("missing", ["", "  ", "\n"])
def test_no_word_is_unknown_and_not_complete(missing: str) -> None:
    assert finish_kind(missing) is FinishKind.UNKNOWN


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("stop", "stop"),
        (" length\n", "length"),
        ({"type": "length", "length": 100}, "length"),
        ({"type": "stop", "matched": 128001}, "stop"),
        ({"reason": "MAX_TOKENS"}, "MAX_TOKENS"),
        ({"code": 7}, "object"),
        (None, ""),
        (7, "7"),
        (["stop"], "['stop']"),
    ],
)
def test_a_word_is_found_in_whatever_the_server_sends(value: object, word: str) -> None:
    assert finish_word(value) == word


def test_a_word_of_any_length_is_bounded() -> None:
    assert len(finish_word("x" * 10**6)) == 200
    assert finish_kind("max_" * 10**6) is FinishKind.UNKNOWN
