"""Servers' dialects as a script that knows the truth: which answers are whole, and what must become of the others."""

import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.runs import TARGET
from tests.scripted import Reply, refused, said
from tests.streams import DONE, TYPE, chunk, deltas, event, stream, streamed

HIDDEN: Final = "HIDDEN"
"""Stands in whatever is not an answer: thinking, cut and filtered texts. No export may contain it."""

Wire = Callable[[str, random.Random, int], Reply]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a server tells something. `reply` has the whole answer, chance, and the number of the try, from 0.

    `ends` are the ways in which the task may end: "kept", the reason of a failure, or the name of a filter that drops its pair.
    """

    reply: Wire
    ends: frozenset[str]


def _dialect(ends: str, reply: Wire) -> Dialect:
    return Dialect(reply, frozenset(ends.split()))


def _finish(*words: Any) -> Wire:  # noqa: ANN401 - servers send what they like
    return lambda text, chance, _: said(text, finish_reason=chance.choice(words))


def _cut(text: str, chance: random.Random, _: int) -> Reply:
    words = (
        "length",
        "max_tokens",
        "MAX_TOKENS",
        "LENGTH",
        "model_length",
        "FINISH_REASON_MAX_TOKENS",
        {"type": "length"},
    )
    return said(f"{HIDDEN} {text[: len(text) * 2 // 3]}", finish_reason=chance.choice(words))


def _filtered(text: str, chance: random.Random, _: int) -> Reply:
    words = (
        "content_filter",
        "SAFETY",
        "sensitive",
        "refusal",
        "content_filter: hate",
        "RECITATION",
        "guardrail_intervened",
    )
    return said(f"{HIDDEN} {text[:30]}", finish_reason=chance.choice(words))


def _aborted(text: str, chance: random.Random) -> Reply:
    words = ("abort", "error", "insufficient_system_resource", "network_error", "cancelled")
    return said(f"{HIDDEN} {text[:30]}", finish_reason=chance.choice(words))


def _thinking(text: str, chance: random.Random, _: int) -> Reply:
    thought = f"{HIDDEN} let me see what is asked here"
    return said(
        chance.choice(
            (
                f"<think>{thought}</think>\n\n{text}",
                f"<think>\n{thought}\n</think>{text}<|im_end|>",
                f"{thought}</think>\n{text}",
                f"<thought>{thought}</thought>{text}",
                f"[THINK]{thought}[/THINK]{text}</s>",
                f"<|channel|>analysis<|message|>{thought}<|end|><|start|>assistant<|channel|>final<|message|>{text}<|return|>",
                f"◁think▷{thought}◁/think▷{text}",
            )
        )
    )


def _unfinished_thinking(text: str, chance: random.Random, _: int) -> Reply:
    opening = chance.choice(("<think>", "<thought>", "[THINK]", "◁think▷"))
    return said(f"{opening}{HIDDEN} let me see: {text}", finish_reason=chance.choice(("stop", "length")))


def _parts(text: str, chance: random.Random, _: int) -> Reply:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": HIDDEN}]}
    half = len(text) // 2
    return said(
        chance.choice(
            (
                [thought, {"type": "text", "text": text}],
                [{"type": "text", "text": text[:half]}, {"type": "text", "text": text[half:]}],
                [{"type": "reasoning", "text": HIDDEN}, {"type": "output_text", "text": text}],
                [text[:half], text[half:]],
            )
        )
    )


def _beside(text: str, chance: random.Random, _: int) -> Reply:
    field = chance.choice(("reasoning_content", "reasoning", "thinking", "audio", "annotations"))
    return said(text, message={"role": "assistant", "content": text, field: HIDDEN})


def _bad_bytes(text: str, chance: random.Random, _: int) -> Reply:
    body = said(f"{text}@@").body
    return Reply(body.replace(b"@@", chance.choice((b"\xff", b"\xe2\x82", b"\\ud83d"))))


def _raw_newline(text: str, _chance: random.Random, _number: int) -> Reply:
    return Reply(said(f"{text}@@").body.replace(b"@@", b"\n"))


def _error_in_200(code: object, message: str) -> Reply:
    return Reply(json.dumps({"error": {"code": code, "message": message}}).encode())


def _passing(text: str, chance: random.Random, number: int) -> Reply:
    """A fault of the server's, told in its way, and then the answer."""
    if number:
        return said(text)
    half = {"index": 0, "message": {"role": "assistant", "content": HIDDEN}, "finish_reason": None}
    faults = (
        _error_in_200(502, "Provider returned error"),
        _error_in_200(500, "Internal Server Error"),
        Reply(json.dumps({"error": {"code": 502, "message": "upstream"}, "choices": [half]}).encode()),
        Reply(json.dumps({"choices": [half | {"error": {"code": 502, "message": "upstream"}}]}).encode()),
        refused(500, "Internal error"),
        refused(503, "Loading model"),
        refused(529, "overloaded_error"),
        Reply(b"<html>Bad gateway</html>", 502),
        Reply(b"", reset=True),
        Reply(said(HIDDEN).body, cut=9),
        said(""),
        said(None),
        said("", finish_reason="load"),
        Reply(b'{"choices": []}'),
        _aborted(text, chance),
    )
    return chance.choice(faults)


def _rate_limited(text: str, chance: random.Random, number: int) -> Reply:
    if number:
        return said(text)
    return chance.choice(
        (
            refused(429, "Rate limit reached", retry_after="2"),
            _error_in_200(429, "Rate limit exceeded"),
            refused(429, "slow down", x_ratelimit_reset_requests="1s"),
        )
    )


def _policy(_text: str, chance: random.Random, _: int) -> Reply:
    return chance.choice(
        (
            refused(403, "Your chosen model requires moderation and your input was flagged for: violence"),
            refused(400, "The response was filtered due to Azure's content management policy", "content_filter"),
            refused(400, "Content Exists Risk"),
            refused(
                400,
                "Invalid prompt: your prompt was flagged as potentially violating our usage policy",
                "invalid_prompt",
            ),
            _error_in_200(403, "input was flagged by moderation"),
        )
    )


def _overflow(_text: str, chance: random.Random, _: int) -> Reply:
    return chance.choice(
        (
            refused(400, "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens."),
            refused(400, "too long", "context_length_exceeded"),
            refused(413, "prompt is too long: 210000 tokens > 200000 maximum"),
            refused(500, "the request exceeds the available context size, try increasing it"),
            _error_in_200(400, "Input token count exceeds the maximum number of tokens allowed"),
        )
    )


def _no_text(**choice: Any) -> Wire:  # noqa: ANN401 - servers send what they like
    return lambda _text, _chance, _number: said("", **choice)


_USED_BY_REASONING: Final = {"message": {"role": "assistant", "content": "", "reasoning_content": HIDDEN}}
_REFUSAL: Final = {"message": {"role": "assistant", "content": None, "refusal": f"{HIDDEN} I cannot help with that"}}
_TOOL: Final = {"message": {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]}}


def _in_a_stream(plain: Wire) -> Wire:
    return lambda text, chance, number: streamed(plain(text, chance, number), chance)


def _broken_stream(text: str, chance: random.Random, number: int) -> Reply:
    """A stream that its server did not finish, and then the answer."""
    if number:
        return streamed(said(text), chance)
    half, stop = deltas(f"{HIDDEN} {text[:30]}"), chunk(finish_reason="stop")
    events: list[Any] = chance.choice(
        (
            [*half, DONE],
            half,
            [*half, stop],
            [*half, b'data: {"choices": [{"del'],
            [*half, event("<html>"), stop, DONE],
            [*half, {"error": {"code": 502, "message": "upstream"}}, DONE],
            [*half, event({"message": "broke"}, name="error"), stop, DONE],
            [{"error": {"code": 503, "message": "overloaded"}}],
            [*half, chunk(finish_reason="error"), DONE],
            [*half, b'{"error": {"message": "died"}}\n\n', stop, DONE],
            [*half, chunk({"content": 7}), stop, DONE],
            [DONE],
            [],
        )
    )
    torn = chance.random() < 0.2
    return Reply(stream(*events), headers=TYPE, chunk_bytes=64 if torn else None, cut=0 if torn else None)


DIALECTS: Final[Mapping[str, Dialect]] = {
    "plain": _dialect(
        "kept", _finish("stop", "end_turn", "eos_token", "COMPLETE", "STOP", "eosFound", "stop_sequence")
    ),
    "unknown word": _dialect("kept", _finish("zweifelhaft", "some_new_word", "", None)),
    "cut": _dialect("truncated format", _cut),
    "filtered": _dialect("content-filter", _filtered),
    "always aborted": _dialect("aborted", lambda text, chance, _: _aborted(text, chance)),
    "thinking": _dialect("kept", _thinking),
    "unfinished thinking": _dialect("truncated format", _unfinished_thinking),
    "control token inside": _dialect(
        "embedded_markup", lambda text, _c, _n: said(f"{text}<|im_end|>{HIDDEN} user: and?")
    ),
    "parts": _dialect("kept", _parts),
    "fields beside": _dialect("kept", _beside),
    "bad bytes": _dialect("kept", _bad_bytes),
    "raw newline": _dialect("kept", _raw_newline),
    "passing fault": _dialect("kept", _passing),
    "rate limited": _dialect("kept", _rate_limited),
    "policy": _dialect("content-policy", _policy),
    "overflow": _dialect("context-overflow", _overflow),
    "reasoned to the end": _dialect("truncated", _no_text(finish_reason="length", **_USED_BY_REASONING)),
    "refusal": _dialect("refusal", _no_text(**_REFUSAL)),
    "tool call": _dialect("tool-call", _no_text(finish_reason="tool_calls", **_TOOL)),
    "empty": _dialect("empty-answer", _no_text()),
    "stream": _dialect("kept", _in_a_stream(_finish("stop", "end_turn", "STOP"))),
    "stream with thinking": _dialect("kept", _in_a_stream(_thinking)),
    "stream of parts": _dialect("kept", _in_a_stream(_parts)),
    "stream with fields beside": _dialect("kept", _in_a_stream(_beside)),
    "stream that is cut": _dialect("truncated format", _in_a_stream(_cut)),
    "stream that is filtered": _dialect("content-filter", _in_a_stream(_filtered)),
    "stream of a refusal": _dialect("refusal", _in_a_stream(_no_text(**_REFUSAL))),
    "stream of a tool call": _dialect("tool-call", _in_a_stream(_no_text(finish_reason="stop", **_TOOL))),
    "stream of reasoning alone": _dialect(
        "truncated", _in_a_stream(_no_text(finish_reason="length", **_USED_BY_REASONING))
    ),
    "stream that breaks off": _dialect("kept", _broken_stream),
}
_WEIGHTS: Final = {
    "plain": 8,
    "thinking": 3,
    "passing fault": 3,
    "stream that breaks off": 3,
    "always aborted": 0.3,
    "empty": 0.5,
}


def answer_to(prompt: str) -> str:
    """The target's whole answer to a task's prompt."""
    return f"{prompt} is a question and this is an answer to it"


def revision_of(answer: str) -> str:
    """The reviser's whole revision of it."""
    return f"{answer}, now better"


class Babel:
    """Plays target and reviser, each prompt in a dialect drawn for it; `drawn` tells which, by role's model and task's prompt."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._tries: dict[tuple[str, str], int] = {}
        self.drawn: dict[tuple[str, str], str] = {}

    def __call__(self, request: dict[str, Any]) -> Reply:
        """The reply to one request."""
        content, model = request["messages"][-1]["content"], request["model"]
        if model == TARGET:
            prompt, text = content, answer_to(content)
        else:
            student = content.split("{student_solution}: ")[1].split("\n\n-----")[0]
            prompt = "Question number " + re.search(r"Question number (\d+)", student)[1]  # type: ignore[index]
            revised = revision_of(answer_to(prompt))
            text = f"{{teacher_reasoning}}: weak\n\n{{corrected_student_solution}}: {revised}"
        who = (model, prompt)
        chance = random.Random(f"{self._seed} {who}")
        if who not in self.drawn:
            self.drawn[who] = chance.choices(list(DIALECTS), [_WEIGHTS.get(name, 1) for name in DIALECTS])[0]
        number = self._tries.get(who, 0)
        self._tries[who] = number + 1
        return DIALECTS[self.drawn[who]].reply(text, random.Random(f"{self._seed} {who} wire"), number)
