"""A provider of models that bills all that it generates, whether or not that arrives, and keeps a ledger of each session."""

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from tests.runs import REVISER, STRONGER, TARGET
from tests.scripted import Reply, refused, said

PRICES: Final = {TARGET: (3, 7), REVISER: (11, 13), STRONGER: (2, 5)}
"""Dollars for a million tokens of prompt and answer."""

CONCURRENCY: Final = 3
SLOTS: Final = CONCURRENCY * len(PRICES)
"""Requests that can be in flight at once."""

_MAX_TOKENS = 100
_ANSWER_TOKENS = 40
_WORDS = [
    f"{first}{last}"
    for first in ("ba", "co", "du", "fe", "gi", "ho", "ju", "ka", "le", "mi")
    for last in ("ren", "lom", "sat", "vik", "pra", "tor")
]


def most_within(seconds: float, times: Sequence[float]) -> int:
    """The most of these times, which rise, in any window of this length."""
    first = most = 0
    for last, at in enumerate(times):
        while at - times[first] > seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


@dataclass(slots=True)
class Session:
    """What one process asked: how often each seed was asked, and how often it was given a whole answer."""

    asked: Counter[int] = field(default_factory=Counter)
    answered: Counter[int] = field(default_factory=Counter)
    sent: set[int] = field(default_factory=set)


class Provider:
    """Plays all roles; what it says depends on the question alone.

    Some questions are refused until `lenient` is set; a share of `faults` of the first attempts at a question breaks off or fails
    after it was billed; an answer takes between `seconds`. `picodollars` is the bill, `session` the ledger since it was replaced.
    """

    def __init__(self, chance: random.Random) -> None:
        self.lenient = False
        self.picodollars = 0
        self.session = Session()
        self.on_asked: Callable[[], None] = lambda: None
        self._chance = chance
        self.faults = 0.0
        self.seconds = (0.0, 0.0)
        self._tried = set[tuple[str, int]]()

    def reply(self, request: dict[str, Any]) -> Reply:
        """What comes of a request."""
        model, content = request["model"], request["messages"][-1]["content"]
        self.session.asked[request["seed"]] += 1
        self.on_asked()
        found = re.search(r"Question (\d+):", content)
        number = int(found[1]) if found else 0
        if not self.lenient and found and _is_refused(model, number):
            return refused(403, "Your chosen model requires moderation and your input was flagged for: violence")
        answer_tokens = min(_ANSWER_TOKENS, request.get("max_tokens", _ANSWER_TOKENS))
        prompt_tokens = sum(len(message["content"].encode()) for message in request["messages"])
        per_prompt_token, per_answer_token = PRICES[model]
        self.picodollars += 10**6 * (prompt_tokens * per_prompt_token + answer_tokens * per_answer_token)
        text, finish_reason = _said_by(model, number, content) if found else ("There is much to be said.", "stop")
        whole = said(text, finish_reason=finish_reason, tokens=(prompt_tokens, answer_tokens))
        if (model, number) not in self._tried:
            self._tried.add((model, number))
            if self._chance.random() < self.faults:
                return self._chance.choice(
                    (Reply(b"", reset=True), Reply(whole.body, cut=20), refused(500, "generated, and then fell over"))
                )
        self.session.answered[request["seed"]] += 1
        return Reply(whole.body, headers=whole.headers, delay_seconds=self._chance.uniform(*self.seconds))

    def sent(self, request: dict[str, Any]) -> None:
        """Note that the reply to a request was sent."""
        if request["seed"] in self.session.answered:
            self.session.sent.add(request["seed"])


def question(number: int) -> str:
    """A prompt; every ninth is nearly the one before it."""
    return f"Question {number}: {_words(f'question {number - 1 if number % 9 == 8 else number}', 30)}?"


def config_text(url: str, tasks: Path) -> str:
    """The configuration of a run of two recipes that compares prompts with each other."""
    common = {"endpoints": [url], "temperature": 0.7, "max_tokens": _MAX_TOKENS, "concurrency": CONCURRENCY}
    models = {
        role: {
            "model": model,
            **common,
            "price_per_million": dict(zip(("input", "output"), PRICES[model], strict=True)),
        }
        for role, model in (("target", TARGET), ("reviser", REVISER), ("stronger", STRONGER))
    }
    content = {
        "recipes": ["clair", "stronger-preferred"],
        "tasks": {"path": str(tasks)},
        "models": models,
        "filters": {"near_duplicate": {"action": "drop"}},
    }
    return yaml.safe_dump(content)


def write_tasks(path: Path, count: int) -> Path:
    """A file of `count` tasks."""
    rows = [{"id": f"task-{number}", "prompt": question(number)} for number in range(count)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def _is_refused(model: str, number: int) -> bool:
    return (model, number % 23) in ((TARGET, 4), (REVISER, 7), (STRONGER, 12))


def _said_by(model: str, number: int, content: str) -> tuple[str, str]:
    if model != REVISER:
        return f"To question {number}: {_words(f'{model} {number}', 25)}.", "length" if number % 13 == 5 else "stop"
    student = content.split("{student_solution}: ")[1].split("\n\n-----")[0]
    if number % 17 == 3:
        return f"{student}, without the headings that were asked for", "stop"
    revised = f"{student} Besides: {_words(f'revised {number}', 4)}."
    return f"{{teacher_reasoning}}: weak\n\n{{corrected_student_solution}}: {revised}", "stop"


def _words(seed: str, count: int) -> str:
    return " ".join(random.Random(seed).choices(_WORDS, k=count))
