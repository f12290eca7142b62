"""What lint finds in a single pair: each hit names its rule, the sides at fault, and the words that show it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from rapidfuzz.distance import Levenshtein

from clairgen.filters.refusal import refusal_in
from clairgen.finish_reason import RECORDED, FinishKind, finish_kind
from clairgen.patterns import lazy_pattern
from clairgen.row_pairs import RowPair
from clairgen.thinking import is_control_token, separate

_ALIKE: Final = 0.01
"""Answers differ little if at most this share of the longer one's characters is edited."""
_LONGEST_COMPARED: Final = 100_000
"""The share is of so many characters in longer answers, since the time grows with the number of edits looked for."""
_SHORTEST_CUT: Final = 200
_FEWEST_SENTENCES: Final = 3
_FEWEST_WORDS: Final = 5
_WORD_OR_SIGN = lazy_pattern(r"\d[\d.,]*\d|[^\W_]+|[^\w\s]")
_TYPOGRAPHY = frozenset(".,;:!?\"'*_#`~()[]…“”‘’«»。，、；：！？")
_NO_PROSE = lazy_pattern(r"[-*+•>#|$\\]|\d+[.)]|[a-zA-Z][.)] |    |\t|.*[{}=<>\\|]|.*https?://")
_UNFINISHED = frozenset(",;-–—([{，、；")
_QUOTED = 80


@dataclass(frozen=True, slots=True)
class Hit:
    """That a rule found something in a pair: on which `sides` (none where it concerns both), and what an example shows."""

    rule: str
    shown: str
    sides: tuple[str, ...] = ()


def pair_hits(pair: RowPair) -> Iterator[Hit]:
    """Everything that is found in a pair by itself."""
    answers = {"chosen": pair.chosen, "rejected": pair.rejected}
    blank = tuple(side for side, answer in answers.items() if not answer.strip())
    prompt = "\n".join(message.content for message in pair.messages)
    if blank:
        yield Hit("empty", prompt, blank)
    yield from _alike(pair.chosen.strip(), pair.rejected.strip())
    yield from _markup(answers, prompt)
    yield from _cut_off(answers, {side: pair.finish_reason(side) for side in answers})
    yield from _of_sides("refusal", {side: refusal_in(answer) for side, answer in answers.items()})
    spaced = {side: _has_outer_space(answer) for side, answer in answers.items() if side not in blank}
    if len(spaced) == 2 and sum(spaced.values()) == 1:
        [side] = [side for side, found in spaced.items() if found]
        yield Hit("space-on-one-side", _ends(answers[side]), (side,))


def _alike(chosen: str, rejected: str) -> Iterator[Hit]:
    """Whether two answers are the same, or nearly."""
    if chosen == rejected:
        yield Hit("identical", chosen)
    elif _same_words(chosen, rejected):
        yield Hit("nearly-identical", f"{chosen[:_QUOTED]} / {rejected[:_QUOTED]}")
    else:
        most = int(_ALIKE * min(max(len(chosen), len(rejected)), _LONGEST_COMPARED))
        if abs(len(chosen) - len(rejected)) <= most > 0 and (
            Levenshtein.distance(chosen, rejected, score_cutoff=most) <= most
        ):
            yield Hit("small-difference", _difference(chosen, rejected))


def _same_words(one: str, other: str) -> bool:
    """Whether two texts have the same words, numbers and signs but for typography. Signs of arithmetic are words here."""
    if _fold(one[:1]) != _fold(other[:1]) and one[:1].isalnum() and other[:1].isalnum():
        return False  # spares nearly all pairs the search
    short, long = sorted((len(one), len(other)))
    if long > 2 * short + _QUOTED:
        return False
    first, second = _words(one), _words(other)
    for word in first:
        if word != next(second, None):
            return False
    return next(second, None) is None and next(_words(one), None) is not None


def _words(text: str) -> Iterator[str]:
    return (_fold(found[0]) for found in _WORD_OR_SIGN.finditer(text) if found[0] not in _TYPOGRAPHY)


def _fold(text: str) -> str:
    return text.casefold()


def _difference(chosen: str, rejected: str) -> str:
    """Both answers where they begin to differ."""
    at = next((at for at, (one, other) in enumerate(zip(chosen, rejected, strict=False)) if one != other), 0)
    start = max(0, at - _QUOTED // 4)
    return f"{chosen[start : start + _QUOTED]} / {rejected[start : start + _QUOTED]}"


def _markup(answers: Mapping[str, str], prompt: str) -> Iterator[Hit]:
    """Thinking and control tokens: in an answer those that its prompt does not speak of, in the prompt any."""
    thinking: dict[str, str | None] = {}
    control: dict[str, str | None] = {}
    for side, answer in answers.items():
        found = separate(answer, prompt)
        tags = [tag for tag in found.embedded if not is_control_token(tag)]
        tokens = [*found.stripped, *(tag for tag in found.embedded if is_control_token(tag))]
        is_thinking = found.thinking or found.unclosed or tags or (found.answer != answer and not found.stripped)
        thinking[side] = answer if is_thinking else None
        control[side] = f"{', '.join(dict.fromkeys(tokens))}: {_around(answer, tokens[0])}" if tokens else None
    yield from _of_sides("thinking", thinking)
    yield from _of_sides("control-tokens", control)
    asked = separate(prompt)
    if signs := [*asked.stripped, *asked.embedded]:
        yield Hit("control-tokens-in-prompt", f"{', '.join(dict.fromkeys(signs))}: {_around(prompt, signs[0])}")


def _cut_off(answers: Mapping[str, str], reasons: Mapping[str, str]) -> Iterator[Hit]:
    """Answers cut off at a limit: by their finish reasons where these are known, else by how the text ends."""
    known = {side: finish_kind(word) for side, word in reasons.items() if word != RECORDED}
    cut = {side: _end(answers[side]) if kind is FinishKind.LENGTH else None for side, kind in known.items()}
    yield from _of_sides("cut-off", cut)
    unknown = {
        side: answer for side, answer in answers.items() if known.get(side, FinishKind.UNKNOWN) is FinishKind.UNKNOWN
    }
    yield from _of_sides(
        "seems-cut-off", {side: _end(answer) if seems_cut_off(answer) else None for side, answer in unknown.items()}
    )


def seems_cut_off(answer: str) -> bool:
    """Whether a text ends as if it had been cut off, by the cautious rule that `seems-cut-off` states."""
    text = answer.rstrip()
    if len(text) < _SHORTEST_CUT:
        return False
    if "```" in text and sum(line.lstrip().startswith("```") for line in text.splitlines()) % 2:
        return True
    if not (text[-1].isalpha() or text[-1] in _UNFINISHED):
        return False
    line = text.rpartition("\n")[2]
    in_sentences = sum(map(text.count, ".!?。！？")) >= _FEWEST_SENTENCES
    return in_sentences and len(line.split()) >= _FEWEST_WORDS and _NO_PROSE.match(line) is None


def _of_sides(rule: str, shown: Mapping[str, str | None]) -> Iterator[Hit]:
    """A hit where a side has something to show; the example shows the first."""
    sides = tuple(side for side, words in shown.items() if words is not None)
    if sides:
        yield Hit(rule, next(words for words in shown.values() if words is not None), sides)


def _has_outer_space(answer: str) -> bool:
    return answer[0].isspace() or answer[-1].isspace()


def _ends(answer: str) -> str:
    """The beginning of a text and its end, with the white space around it."""
    return answer if len(answer) <= _QUOTED else f"{answer[: _QUOTED // 2]} … {answer[-_QUOTED // 2 :]}"


def _end(answer: str) -> str:
    return answer if len(answer) <= _QUOTED else f"… {answer[-_QUOTED:]}"


def _around(text: str, token: str) -> str:
    """What stands around a token that was found in lower case."""
    start = max(0, text.lower().find(token) - _QUOTED // 4)
    return text[start : start + _QUOTED]
