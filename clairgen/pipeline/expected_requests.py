"""Which requests `generate` would send: recipes run over the stored answers, with stand-ins for those that are missing.

A stand-in is a short text that names its request, so that two recipes that would send the same request share it here too.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from clairgen.config.role import Role
from clairgen.errors import RequestFailedError
from clairgen.patterns import lazy_pattern
from clairgen.pipeline.model_requests import Request, RoleRequests, answer_in, with_system
from clairgen.pipeline.plans import PlannedRecipe
from clairgen.records import Completion, Message, SampleRange, Task, Undecided, Usage
from clairgen.store import Store
from clairgen.tasks import prompt_error
from clairgen.templates import Template

_PATTERN_TASKS = 100
_STAND_IN = lazy_pattern(r"\[\[([a-z0-9-]+) [0-9a-f]{32}\]\]")
_REVISION = "{{teacher_reasoning}}: -\n\n{{corrected_student_solution}}: {text}"
_VERDICT = "{{teacher_reasoning}}: -\n\n[1] {text}"


@dataclass(slots=True)
class ExpectedRequests:
    """Requests to one role that would be sent, and the characters of their prompts."""

    calls: float = 0
    characters: float = 0

    def add(self, calls: float, characters: float) -> None:
        """Count further requests."""
        self.calls += calls
        self.characters += characters


class RequestForecast:
    """Counts what tasks would request. `stores` are looked into for answers; `answer_characters` is by role.

    `expected` has the counts by role, `found` counts the answers that are there, and `in_batches` the requests among those with
    the keys `waiting`, which were sent and are paid for. The recipes are run for tasks of which some
    answer is there, and for the first `_PATTERN_TASKS` of the others, which stand for the rest.
    """

    def __init__(
        self,
        roles: Mapping[str, Role],
        seed: int,
        stores: Sequence[Store],
        answer_characters: Mapping[str, int],
        waiting: AbstractSet[str] = frozenset(),
    ) -> None:
        self.expected = {name: ExpectedRequests() for name in roles}
        self.found = 0
        self.in_batches = 0
        self._waiting = waiting
        self._roles = {name: RoleRequests(name, role, seed) for name, role in roles.items()}
        self._stores = stores
        self._answer_characters = answer_characters
        self._missing = set[bytes]()
        self._patterns = defaultdict[tuple[str, ...], _Pattern](_Pattern)

    async def add(self, task: Task, planned: Sequence[PlannedRecipe]) -> None:
        """Count the requests of the pairs of a task that are to be made."""
        if prompt_error(task):
            return
        pattern = self._patterns[(*(entry.recipe.name for entry in planned), *_turns(task, planned))]
        characters = sum(len(message.content) for message in task.messages)
        is_like_others = not any(entry.context.recorded for entry in planned)
        if is_like_others and pattern.tasks >= _PATTERN_TASKS and await self._has_no_answer(task, pattern.direct):
            for role, mean in pattern.means(characters):
                self.expected[role].add(mean.calls, mean.characters)
            return
        ask = _TaskForecast(self, task)
        for entry in planned:
            await ask.add(entry)
        self.found += len(ask.found)
        for role, requests in ask.expected.items():
            self.expected[role].add(requests.calls, requests.characters)
        if not ask.found:
            pattern.learn(ask, characters)

    async def answer(self, request: Request) -> Completion | None:
        """The stored answer to a request, None if there is none. Raises RequestFailedError as `ask` does."""
        stored = await self._stored(request)
        return None if stored is None else answer_in(stored, request)

    def request(self, role: str, messages: Sequence[Message], sample: int, template: Template | None) -> Request:
        """The request that `ask` would send."""
        requests = self._roles[role]
        return requests.request(with_system(messages, requests.settings.system), sample, template)

    def is_expected(self, request: Request) -> bool:
        """Whether a missing request would be sent and is not counted yet; it then is.

        One that is sent only if the answer to another, which is missing too, fails its check is not counted.
        """
        if SampleRange.RETRY <= request.sample < SampleRange.ADVISE:
            first = request.role.request(request.messages, request.sample - SampleRange.RETRY, None)
            if bytes.fromhex(first.key) in self._missing:
                return False
        identity = bytes.fromhex(request.key)
        is_new = identity not in self._missing
        self._missing.add(identity)
        if request.key in self._waiting:
            self.in_batches += is_new
            return False
        return is_new

    def characters(self, messages: Sequence[Message]) -> int:
        """Characters of messages once answers have taken the places of stand-ins."""
        characters = 0
        for message in messages:
            characters += len(message.content)
            for found in _STAND_IN.finditer(message.content):
                characters += self._answer_characters[found[1]] - len(found[0])
        return characters

    async def _has_no_answer(self, task: Task, direct: Collection[tuple[str, int, int]]) -> bool:
        """Whether none of the requests that need no other answer is answered, or waits in a batch."""
        if not self._stores:
            return True
        requests = [
            self.request(role, task.messages[: len(task.messages) - later], sample, None)
            for role, sample, later in direct
        ]
        if any(request.key in self._waiting for request in requests):
            return False
        return not any([await self._stored(request) for request in requests])

    async def _stored(self, request: Request) -> Completion | None:
        if bytes.fromhex(request.key) not in self._missing:
            for store in self._stores:
                if (found := await store.completions.find(request.key)) is not None:
                    return found
        return None


class _Pattern:
    """What tasks without any answer request: sums over `tasks`, by role.

    `direct` has the requests of the task's own messages alone: role, sample, and how many of the last messages it is without.
    """

    def __init__(self) -> None:
        self.tasks = 0
        self.direct = set[tuple[str, int, int]]()
        self._sums = defaultdict[str, ExpectedRequests](ExpectedRequests)

    def learn(self, ask: "_TaskForecast", task_characters: int) -> None:
        """Add a task; every prompt is taken to contain the task once."""
        self.tasks += 1
        self.direct |= ask.direct
        for role, requests in ask.expected.items():
            self._sums[role].add(requests.calls, requests.characters - requests.calls * task_characters)

    def means(self, task_characters: int) -> Iterator[tuple[str, ExpectedRequests]]:
        """By role, what one more task requests."""
        for role, sums in self._sums.items():
            calls = sums.calls / self.tasks
            yield role, ExpectedRequests(calls, sums.characters / self.tasks + calls * task_characters)


class _TaskForecast:
    """The `Ask` of one task: counts its requests that are missing, by role, and collects the keys of answers that are there."""

    def __init__(self, forecast: RequestForecast, task: Task) -> None:
        self.expected = defaultdict[str, ExpectedRequests](ExpectedRequests)
        self.found = set[str]()
        self.direct = set[tuple[str, int, int]]()
        self._forecast = forecast
        self._task = task
        self._of_pair = Counter[str]()
        self._has_stand_in = False

    async def add(self, planned: PlannedRecipe) -> None:
        """Count the requests of one pair."""
        self._of_pair.clear()
        self._has_stand_in = False
        readable = True
        try:
            _, outcome = await planned.make(self._task, self)
            readable = not isinstance(outcome, Undecided)
        except RequestFailedError:
            return  # an answer that is there, or the task itself, fails the pair
        except Exception:  # noqa: BLE001 - a recipe of a plugin may expect more of an answer than a stand-in has
            readable = False
        if self._has_stand_in and not readable:
            for role in planned.context.roles:
                calls = max(0, planned.recipe.calls(planned.context.choice, role) - self._of_pair[role])
                self.expected[role].add(calls, calls * self._forecast.characters(self._task.messages))

    async def __call__(
        self, role: str, messages: Sequence[Message], *, sample: int = 0, template: Template | None = None
    ) -> Completion:
        """See `clairgen.recipes.recipe.Ask`."""
        self._of_pair[role] += 1
        request = self._forecast.request(role, messages, sample, template)
        if tuple(messages) == self._task.messages[: len(messages)]:
            self.direct.add((role, sample, len(self._task.messages) - len(messages)))
        if (stored := await self._forecast.answer(request)) is not None:
            self.found.add(request.key)
            return stored
        self._has_stand_in = True
        if self._forecast.is_expected(request):
            self.expected[role].add(1, self._forecast.characters(request.messages))
        return _stand_in(request)


def _turns(task: Task, planned: Sequence[PlannedRecipe]) -> Iterator[str]:
    """The roles of a conversation of which the target answers every turn, so that tasks of other turns request more or less."""
    if any(entry.own_turns for entry in planned):
        yield from (message.role for message in task.messages)


def _stand_in(request: Request) -> Completion:
    """An answer that every parser of a recipe can read; scores are all different."""
    role, settings = request.role.name, request.role.settings
    text = f"[[{role} {request.key[:32]}]]"
    if role == "reviser":
        text = _REVISION.format(text=text)
    elif role.startswith("judge"):
        text = _VERDICT.format(text=text)
    elif settings.api != "chat":
        text = repr(int(request.key[:8], 16) / 2**32)
    return Completion(
        key=request.key,
        role=role,
        model=settings.model,
        revision=settings.revision,
        sample=request.sample,
        text=text,
        finish_reason="stop",
        usage=Usage(),
        latency_seconds=0.0,
        endpoint="",
        response_id=None,
        cost_usd=None,
        created_at="",
    )
