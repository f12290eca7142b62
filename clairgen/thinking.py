"""The answer inside a model's output: thinking blocks taken off its start and its end, control tokens off its end.

Servers that do not separate reasoning leave it in the text, each model in its own form: `<think>`, `[THINK]`, harmony channels, a
closing tag alone where the chat template wrote the opening one. What is not answer must reach neither reviser nor judge nor
data set. Only forms that leave no doubt are taken off; thinking or control tokens in the middle of an answer stay and are named.
Nothing is recognised that the prompt itself speaks of. Everything here is linear in the text.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from clairgen.patterns import lazy_pattern

_PAIRS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<thoughts>", "</thoughts>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("<analysis>", "</analysis>"),
    ("[think]", "[/think]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|start_thinking|>", "<|end_thinking|>"),
    ("<|thinking|>", "<|/thinking|>"),
    ("<|channel>thought", "<channel|>"),
    ("<unused94>thought", "<unused95>"),
    ("here is my thought process:", "here is my response:"),
)
_WRAPPERS = (("<|begin_of_solution|>", "<|end_of_solution|>"), ("<|start_response|>", "<|end_response|>"))
_CLOSING_ALONE = (
    "</think>",
    "</thinking>",
    "[/think]",
    "◁/think▷",
    "</seed:think>",
    "<|end_of_thought|>",
    "<|end_thinking|>",
)
_CONTROL_TOKENS = (
    *(
        "<|im_end|>",
        "<|im_start|>",
        "<|eot_id|>",
        "<|eom_id|>",
        "<|endoftext|>",
        "<|end_of_text|>",
        "<|begin_of_text|>",
    ),
    *(
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|end|>",
        "<|return|>",
        "<|call|>",
        "<|user|>",
        "<|assistant|>",
        "<|system|>",
    ),
    *(
        "<|endofprompt|>",
        "<|end_of_turn_token|>",
        "<|end_of_turn|>",
        "<|eos|>",
        "<end_of_turn>",
        "<start_of_turn>",
        "<eos>",
        "<bos>",
    ),
    *(
        "<｜end▁of▁sentence｜>",
        "<｜begin▁of▁sentence｜>",
        "[/inst]",
        "[inst]",
        "<|im_sep|>",
        "<|observation|>",
        "<|eod|>",
    ),
    (_END_OF_SEQUENCE := "</s>"),
)
_HARMONY = lazy_pattern(r"<\|channel\|>([a-z]++)[^<\n]{0,200}+<\|message\|>")
_HARMONY_END = lazy_pattern(r"<\|(?:end|return|call|start|channel)\|>")
_SIGNS = {
    "<": (
        *("<|", "|>", "<｜", "think>", "thinking>", "thought>", "thoughts>", "reasoning>", "analysis>"),
        *("<unused9", "</s>", "eos>", "bos>", "_turn>"),
    ),
    "[": ("think]", "inst]"),
    "◁": ("◁",),
}
"""In every tag and control token is one of these signs, and in lower case one of the parts that belong to it."""
_WORDS = (_PAIRS[-1][0], "analysis")
_LONGEST_WORDS = max(map(len, _WORDS))
_BARE_HARMONY = lazy_pattern(r"analysis(?=[A-Z\W])")
_BARE_FINAL = "assistantfinal"
_CONTROL = lazy_pattern("|".join(map(re.escape, _CONTROL_TOKENS)), re.IGNORECASE)
_ANY_THINKING = lazy_pattern("|".join(re.escape(tag) for pair in _PAIRS[:-1] for tag in pair), re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Separated:
    """A model's output, separated: `answer`, and the `thinking` that stood before or after it (empty without any).

    `unclosed` tells that thinking began and never ended, so that there is no answer. `stripped` are the control tokens taken off
    the end. `embedded` are thinking tags and control tokens that stand inside the answer, in lower case: it cannot be trusted.
    """

    answer: str
    thinking: str = ""
    unclosed: bool = False
    stripped: tuple[str, ...] = ()
    embedded: tuple[str, ...] = ()


def separate(text: str, prompt: str = "") -> Separated:
    """Separate a model's output. `prompt` is what it was asked: forms that stand there are part of the subject, and stay."""
    if _is_plain(text):
        return Separated(text)
    known = prompt.lower()
    answer, thinking, unclosed = _without_thinking(text, known)
    if unclosed:
        return Separated("", thinking, unclosed=True)
    answer, stripped = _without_control_tokens(answer, known)
    lowered = answer.lower()
    found = {match[0].lower() for pattern in (_CONTROL, _ANY_THINKING) for match in pattern.finditer(answer)}
    if "<s>" in lowered:
        found.discard(_END_OF_SEQUENCE)
    embedded = sorted(
        token
        for token in found
        if token not in known and token.replace("/", "") not in known and f"`{token}" not in lowered
    )
    return Separated(answer, thinking, stripped=stripped, embedded=tuple(embedded))


def is_control_token(token: str) -> bool:
    """Whether what `separate` found, in lower case, is a control token rather than a tag of thinking."""
    return token in _CONTROL_TOKENS


def _is_plain(text: str) -> bool:
    """Whether nothing in a text can begin a tag, a control token or words that open thinking, as in most answers."""
    for sign, parts in _SIGNS.items():
        if sign in text and any(map(text.lower().__contains__, parts)):
            return False
    return not text.lstrip()[:_LONGEST_WORDS].lower().startswith(_WORDS)


def without_thinking(text: str, prompt: str = "") -> str | None:
    """The answer after the thinking, its control tokens left in; None where thinking began and never ended."""
    if _is_plain(text):
        return text
    answer, _, unclosed = _without_thinking(text, prompt.lower())
    return None if unclosed else answer


def _without_thinking(text: str, known: str) -> tuple[str, str, bool]:
    """The answer, the thinking before it, and whether that was never closed."""
    if "<|channel|>" in text and "<|channel|>" not in known:
        return _harmony(text)
    if _BARE_HARMONY.match(text) and _BARE_FINAL not in known:
        thinking, mark, answer = text.removeprefix("analysis").rpartition(_BARE_FINAL)
        if mark:
            return answer.lstrip(), thinking, False
    thoughts: list[str] = []
    lowered = _lowered(text)
    position, is_known = 0, cache(known.__contains__)  # an answer may repeat what it is searched for
    while (pair := _opening_at(lowered, position, is_known)) is not None:
        start, closing = pair
        end = lowered.find(closing, start)
        if end < 0 and closing == _PAIRS[-1][1]:
            break  # words that any answer may begin with
        if end < 0:
            return "", text[start:].strip(), True
        thoughts.append(text[start:end].strip())
        position = end + len(closing)
    rest, lowered = text[position:], lowered[position:]
    if not thoughts and (alone := _closing_alone(lowered, known)) is not None:
        end, closing = alone
        thoughts.append(rest[:end].strip())
        rest = rest[end + len(closing) :]
    if thoughts:
        rest = _unwrapped(rest.lstrip())
    if (after := _block_at_end(rest, known)) is not None:
        start, inside, end = after
        thoughts.append(inside)
        rest = rest[:start].rstrip() + rest[end:]
    return rest, "\n\n".join(thought for thought in thoughts if thought), False


def _opening_at(lowered: str, position: int, is_known: Callable[[str], bool]) -> tuple[int, str] | None:
    """Where the thinking that opens here begins, and what closes it; None if there is none."""
    while position < len(lowered) and lowered[position].isspace():
        position += 1
    for opening, closing in _PAIRS:
        if lowered.startswith(opening, position) and not is_known(opening):
            return position + len(opening), closing
    return None


def _closing_alone(lowered: str, known: str) -> tuple[int, str] | None:
    """A closing tag whose opening one the chat template wrote: the first of its kind, and no opening one in the text."""
    for opening, closing in _PAIRS:
        if closing in _CLOSING_ALONE and closing not in known and opening not in lowered:
            end = lowered.find(closing)
            if end >= 0 and lowered[max(0, end - 1) : end] not in ("`", '"', "'"):
                return end, closing
    return None


def _block_at_end(text: str, known: str) -> tuple[int, str, int] | None:
    """Where a thinking block after the answer begins, what stands in it, and where it ends; control tokens may follow it."""
    lowered = _lowered(text)
    end = len(_without_control_tokens(text, known)[0].rstrip())
    for opening, closing in _PAIRS:
        if closing in _CLOSING_ALONE and opening not in known and lowered.endswith(closing, 0, end):
            start = lowered.rfind(opening, 0, end)
            if start > 0 and lowered[:start].strip() and lowered[start - 1] not in ("`", '"', "'"):
                return start, text[start + len(opening) : end - len(closing)].strip(), end
    return None


def _unwrapped(text: str) -> str:
    """The answer inside the markers that some models write around it after thinking."""
    lowered = text.lower()
    for opening, closing in _WRAPPERS:
        if lowered.startswith(opening):
            end = lowered.rfind(closing)
            return text[len(opening) : end if end >= 0 else len(text)].strip()
    return text


def _harmony(text: str) -> tuple[str, str, bool]:
    """Of OpenAI's harmony format the last final channel; everything in other channels is thinking."""
    answer: str | None = None
    thoughts = []
    for match in _HARMONY.finditer(text):
        end = _HARMONY_END.search(text, match.end())
        body = text[match.end() : end.start() if end else len(text)]
        if match[1] == "final":
            answer = body
        else:
            thoughts.append(body.strip())
    thinking = "\n\n".join(thought for thought in thoughts if thought)
    return ("", thinking or text, True) if answer is None else (answer, thinking, False)


def _lowered(text: str) -> str:
    """The text in lower case with every character in its place; as it is where one of its letters would change its length."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else text


def _without_control_tokens(text: str, known: str) -> tuple[str, tuple[str, ...]]:
    """The text without the control tokens at its end, and which they were."""
    lowered = _lowered(text)
    strikes = "<s>" in lowered  # struck-through text in HTML, whose closing tag looks like an end token
    stripped: list[str] = []
    end, is_known = len(text), cache(known.__contains__)
    while True:
        last = end
        while last and lowered[last - 1].isspace():
            last -= 1
        token = next((token for token in _CONTROL_TOKENS if lowered.endswith(token, 0, last)), None)
        if token is None or is_known(token) or (strikes and token == _END_OF_SEQUENCE):
            return text[:end], tuple(stripped)
        stripped.append(token)
        end = last - len(token)
