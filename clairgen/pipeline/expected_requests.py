"""Which requests `generate` would send: recipes run over the stored answers, with stand-ins for those that are missing.

A stand-in is a short text that names its request, so that two recipes that would send the same request share it here too.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clairgen.config.role import Role
from clairgen.errors import RequestFailedError
from clairgen.pipeline.completions import RoleRequests, answer_in, with_system
from clairgen.pipeline.plans import PlannedRecipe
from clairgen.records import Completion, Message, SampleRange, Task, Undecided, Usage
from clairgen.store import Store
from clairgen.tasks import prompt_error
from clairgen.templates import Template

_STAND_IN = re.compile(r"\[\[([a-z0-9-]+) [0-9a-f]{32}\]\]")
_REVISION = "{{teacher_reasoning}}: -\n\n{{corrected_student_solution}}: {text}"
_VERDICT = "{{teacher_reasoning}}: -\n\n[1] {text}"


@dataclass(slots=True)
class ExpectedRequests:
    """Requests to one role that would be sent, and the characters of their prompts."""

    calls: int = 0
    characters: int = 0


class RequestForecast:
    """Counts what the pairs of tasks would request. `stores` are looked into for answers; `answer_characters` is by role.

    `expected` has the counts by role, and `found` counts the answers that are there.
    """

    def __init__(
        self, roles: Mapping[str, Role], seed: int, stores: Sequence[Store], answer_characters: Mapping[str, int]
    ) -> None:
        self.expected = {name: ExpectedRequests() for name in roles}
        self.found = 0
        self._roles = {name: RoleRequests(name, role, seed) for name, role in roles.items()}
        self._stores = stores
        self._answer_characters = answer_characters
        self._missing = set[bytes]()
        self._seen = set[bytes]()

    async def add(self, task: Task, planned: PlannedRecipe) -> None:
        """Count the requests of one pair that is to be made."""
        if prompt_error(task):
            return
        ask = _ForecastAsk(self)
        readable = True
        try:
            outcome = await planned.recipe.make(task, ask, planned.context)
            readable = not isinstance(outcome, Undecided)
        except RequestFailedError:
            return  # an answer that is there, or the task itself, fails the pair
        except Exception:  # noqa: BLE001 - a recipe of a plugin may expect more of an answer than a stand-in has
            readable = False
        if ask.has_stand_in and not readable:
            for role in planned.context.roles:
                self._count(
                    role, planned.recipe.calls(planned.context.choice, role) - ask.requests[role], task.messages
                )

    async def answer(
        self, role: str, messages: Sequence[Message], sample: int, template: Template | None
    ) -> tuple[Completion, bool]:
        """The stored answer to a request, or a stand-in for it, and whether it is one."""
        requests = self._roles[role]
        sent = with_system(messages, requests.settings.system)
        request = requests.request(sent, sample, template)
        identity = bytes.fromhex(request.key)
        stored = None if identity in self._missing else await self._stored(request.key)
        if stored is not None:
            self.found += identity not in self._seen
            self._seen.add(identity)
            return answer_in(stored, request), False
        if identity not in self._missing and not self._is_second(requests, sent, sample):
            self._missing.add(identity)
            self._count(role, 1, sent)
        return self._stand_in(requests, request.key, sample), True

    async def _stored(self, key: str) -> Completion | None:
        for store in self._stores:
            if (found := await store.completions.find(key)) is not None:
                return found
        return None

    def _is_second(self, requests: RoleRequests, sent: Sequence[Message], sample: int) -> bool:
        """Whether this is requested only if the answer to another request that is not there yet fails its check."""
        if not SampleRange.RETRY <= sample < SampleRange.ADVISE:
            return False
        return bytes.fromhex(requests.request(sent, sample - SampleRange.RETRY, None).key) in self._missing

    def _count(self, role: str, calls: int, messages: Sequence[Message]) -> None:
        if calls > 0:
            self.expected[role].calls += calls
            self.expected[role].characters += calls * sum(self._characters(message.content) for message in messages)

    def _characters(self, content: str) -> int:
        """Characters of a text once answers have taken the places of stand-ins."""
        characters = len(content)
        for found in _STAND_IN.finditer(content):
            characters += self._answer_characters[found[1]] - len(found[0])
        return characters

    def _stand_in(self, requests: RoleRequests, key: str, sample: int) -> Completion:
        text = f"[[{requests.name} {key[:32]}]]"
        if requests.name == "reviser":
            text = _REVISION.format(text=text)
        elif requests.name.startswith("judge"):
            text = _VERDICT.format(text=text)
        return Completion(
            key=key,
            role=requests.name,
            model=requests.settings.model,
            revision=requests.settings.revision,
            sample=sample,
            text=text,
            finish_reason="stop",
            usage=Usage(),
            latency_seconds=0.0,
            endpoint="",
            response_id=None,
            cost_usd=None,
            created_at="",
        )


class _ForecastAsk:
    """The `Ask` of one pair: counts its different requests by role, and knows whether a stand-in was among the answers."""

    def __init__(self, forecast: RequestForecast) -> None:
        self.requests = Counter[str]()
        self.has_stand_in = False
        self._forecast = forecast

    async def __call__(
        self, role: str, messages: Sequence[Message], *, sample: int = 0, template: Template | None = None
    ) -> Completion:
        """See `clairgen.recipes.recipe.Ask`."""
        self.requests[role] += 1
        completion, is_stand_in = await self._forecast.answer(role, messages, sample, template)
        self.has_stand_in |= is_stand_in
        return completion
