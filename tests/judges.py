"""Judges made small: a model that reads the two answers it is shown and prefers one by a rule of the test."""

from collections.abc import Callable
from typing import Any

from tests.runs import TARGET, played
from tests.scripted import Reply, Script, said

Rule = Callable[[str, str], int]
"""The position that a judge chooses of the two answers that it is shown; 0 for no verdict."""

JUDGE = "judge-model"
WINNER_SAYS = "now better"


def judge_role(url: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any field of a role
    """The role of a judge that is served at `url`."""
    return {"model": JUDGE, "endpoints": [url], "temperature": 0, "max_tokens": 100, "concurrency": 8} | changes


def playing(prefers: Rule) -> Script:
    """All roles, with a target whose answers differ by seed and a judge that chooses position 1 or 2 (0: no verdict)."""

    def script(request: dict[str, Any]) -> Reply:
        prompt = request["messages"][-1]["content"]
        if request["model"] == TARGET:
            return said(f"{prompt}: draft {request['seed']}", tokens=(20, 10))
        if request["model"] != JUDGE:
            return played(request)
        first, second = shown(prompt)
        choice = prefers(first, second)
        return said(f"{{teacher_reasoning}}: so it is. [{choice}]" if choice else "I cannot tell.", tokens=(50, 9))

    return script


def shown(prompt: str) -> tuple[str, str]:
    """The two answers that a judge is shown."""
    rest = prompt.split("{student_solution_1}: ")[1].split("\n\n-----")[0]
    first, second = rest.split("\n\n{student_solution_2}: ")
    return first, second


def likes_winners(first: str, _second: str) -> int:
    """The winner always wins."""
    return 1 if WINNER_SAYS in first else 2


def dislikes_winners(first: str, _second: str) -> int:
    """The winner always loses."""
    return 2 if WINNER_SAYS in first else 1


def likes_the_first_position(_first: str, _second: str) -> int:
    """Only the position counts."""
    return 1


def tosses_a_coin(first: str, second: str) -> int:
    """Each pair of answers has its own winner, the same in both orders."""
    low = min(first, second)
    winner = low if sum(map(ord, first + second)) % 2 else max(first, second)
    return 1 if first == winner else 2
