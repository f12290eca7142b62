"""Why a model stopped writing, by kind: every server has its own words for the same few reasons.

OpenAI says `length`, Anthropic `max_tokens`, Gemini `MAX_TOKENS`, Mistral `model_length`, LM Studio `maxPredictedTokensReached`,
SGLang `{"type": "length"}`. The word itself is stored with the answer, and whatever depends on it asks for its kind. A word that
is not known is UNKNOWN: its answer is kept, and the word is counted and named in the report.
"""

from enum import StrEnum
from functools import lru_cache
from typing import Any

from clairgen.patterns import lazy_pattern


class FinishKind(StrEnum):
    """What a finish reason means for the answer.

    `COMPLETE`: the model ended it. `LENGTH`: cut at a limit of tokens or context. `FILTERED`: withheld or cut by a safety
    filter, or refused. `ABORTED`: broken off by the server; a retry may help. `TOOL_CALL`: the model called a tool instead of
    answering. `NOT_RUN`: the server only loaded or unloaded the model. `UNKNOWN`: a word that is not known here, or no word.
    """

    COMPLETE = "complete"
    LENGTH = "length"
    FILTERED = "filtered"
    ABORTED = "aborted"
    TOOL_CALL = "tool-call"
    NOT_RUN = "not-run"
    UNKNOWN = "unknown"


RECORDED = "recorded"
"""The finish reason of an answer that the data set contains: nobody knows how it ended, and its author took it for whole."""

_COMPLETE = """
stop stop_sequence stop_sequence_reached stop_string stop_string_found stop_word stop_token stopped_word stopped_eos
eos eos_token eos_found eos_reached end end_turn end_of_turn end_of_text complete completed finished finish done
natural_stop reason_stop recorded
"""
_LENGTH = """
length max_tokens max_token max_tokens_reached max_output_tokens max_completion_tokens max_new_tokens max_length
max_len reason_max_len model_length token_limit token_limit_reached limit max_predicted_tokens_reached
context_length_reached context_length context_length_exceeded context_window_exceeded model_context_window_exceeded
exceed_context_size stopped_limit incomplete truncated max_context_length error_limit
"""
_FILTERED = """
content_filter content_filtered filtered filter safety image_safety image_prohibited_content sensitive refusal refused
recitation blocklist blocked block prohibited_content spii language guardrail_intervened guardrails moderation
moderated policy_violation content_policy_violation flagged unsafe error_toxic jailbreak harmful
"""
_ABORTED = """
abort aborted cancel canceled cancelled user_cancel user_stopped error errored failed failure timeout timed_out
insufficient_system_resource insufficient_system_resources network_error internal_error server_error overloaded
interrupted unavailable disconnected malformed_model_output malformed_response model_unloaded preempted shutdown
"""
_TOOL_CALL = """
tool_calls tool_call tool_use function_call function_calls malformed_function_call unexpected_tool_call
too_many_tool_calls pause_turn
"""
_NOT_RUN = "load unload"

_KINDS = {
    word: kind
    for kind, words in (
        (FinishKind.COMPLETE, _COMPLETE),
        (FinishKind.LENGTH, _LENGTH),
        (FinishKind.FILTERED, _FILTERED),
        (FinishKind.ABORTED, _ABORTED),
        (FinishKind.TOOL_CALL, _TOOL_CALL),
        (FinishKind.NOT_RUN, _NOT_RUN),
    )
    for word in words.split()
}
_PREFIXES = ("finish_reason_", "stop_reason_", "finishreason_", "reason_")
# Parts of a word that leave no doubt, for what servers will call these things next year: all of them keep the answer out.
_TELLING = (
    (
        lazy_pattern(r"content_filter|(^|_)safety|prohibited|guardrail|moderation|content_policy|blocklist"),
        FinishKind.FILTERED,
    ),
    (lazy_pattern(r"(^|_)max_\w*(token|len)|context_(window|length)|token_limit|(^|_)truncat"), FinishKind.LENGTH),
    (lazy_pattern(r"(^|_)(abort|cancel)|(^|_)error(_|$)|insufficient_system|(^|_)timed?_?out"), FinishKind.ABORTED),
)
_HUMP = lazy_pattern(r"(?<=[a-z0-9])(?=[A-Z])")
_JOINT = lazy_pattern(r"[\s\-./]+")
_LONGEST = 200


def finish_word(value: Any) -> str:  # noqa: ANN401 - whatever the server sent
    """The finish reason as a word: the text itself, or the name inside an object; empty if there is none."""
    if isinstance(value, dict):
        named = (value.get(key) for key in ("type", "reason", "finish_reason", "name"))
        value = next((name for name in named if isinstance(name, str)), "object")
    word = value if isinstance(value, str) else "" if value is None else str(value)
    return word.strip()[:_LONGEST].encode("utf-8", "replace").decode()


@lru_cache(maxsize=1000)
def finish_kind(word: str) -> FinishKind:
    """The kind of a finish reason in any server's spelling, such as `MAX_TOKENS` or `content_filter: SAFETY`."""
    head = word.split(":", 1)[0]
    name = _JOINT.sub("_", _HUMP.sub("_", head.strip()[:_LONGEST])).lower().strip("_")
    for prefix in _PREFIXES:
        if name.startswith(prefix) and name not in _KINDS:
            name = name.removeprefix(prefix)
    if name in _KINDS:
        return _KINDS[name]
    return next((kind for pattern, kind in _TELLING if pattern.search(name)), FinishKind.UNKNOWN)
