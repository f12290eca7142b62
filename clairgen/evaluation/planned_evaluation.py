"""What an evaluation is before it runs: evaluator, items and models, its identity in the store, the options of a session."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from clairgen.config.prices import with_prices
from clairgen.config.role import Role
from clairgen.errors import ConfigError
from clairgen.evaluation.evaluator import Evaluator, Item, ItemStatus
from clairgen.inference.factory import check_keys, with_revisions
from clairgen.inference.runtime import Runtime
from clairgen.keys import canonical_json, digest
from clairgen.pipeline.budget_limit import NamedBudget
from clairgen.pipeline.detaching import Detach
from clairgen.pipeline.plans import role_facts
from clairgen.pipeline.session import DRAIN_SECONDS
from clairgen.store import EvaluationRecord
from clairgen.templates import Template


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is evaluated: an evaluator, its items, the models in its roles, and the seed of the requests.

    `label` names the model that is evaluated for people, `data` the items. `templates` are the prompts that the evaluator fills
    in, which are kept with the answers. `subject` identifies what is evaluated where that is not the model in the role target,
    such as the digest of recorded answers (any JSON object).
    """

    evaluator: Evaluator
    items: Sequence[Item]
    roles: Mapping[str, Role]
    label: str
    data: str
    seed: int = 0
    templates: Sequence[Template] = ()
    subject: Mapping[str, Any] = field(default_factory=dict)

    def record(self) -> EvaluationRecord:
        """The evaluation as it is stored; roles must have their revisions."""
        content = [
            [
                item.id,
                [[m.role, m.content] for m in item.messages],
                item.cluster,
                item.part,
                item.reference,
                item.sample,
            ]
            for item in self.items
        ]
        facts: dict[str, Any] = {
            "kind": self.evaluator.kind,
            "rules": dict(self.evaluator.settings),
            "data": digest(canonical_json(content)),
            "models": {name: role_facts(role, self.seed) for name, role in self.roles.items()},
        }
        if self.subject:
            facts["subject"] = dict(self.subject)
        identity = digest(canonical_json(facts))[:32]
        return EvaluationRecord(identity, self.evaluator.kind, self.label, self.data, len(self.items), facts)


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """Options of a session. `limit` takes only the first items; `retry_failed` tries failed ones again.

    `budget_usd` sets the budget of the run directory and `no_budget` lifts it; with neither, the one that was named last holds,
    or `configured_usd`. `drain_seconds` is how long requests in flight may take once the session is to stop. `detach` ends
    the session once all that is left waits in batches.
    """

    limit: int | None = None
    retry_failed: bool = False
    budget_usd: float | None = None
    no_budget: bool = False
    configured_usd: float | None = None
    log_texts: bool = False
    drain_seconds: float = DRAIN_SECONDS
    detach: Detach = False

    @property
    def budget(self) -> NamedBudget:
        """What is said about the budget."""
        return NamedBudget(self.budget_usd, self.no_budget, self.configured_usd)

    @property
    def finished(self) -> Sequence[ItemStatus]:
        """The statuses of items that are left as they are."""
        return [status for status in ItemStatus if status is not ItemStatus.FAILED or not self.retry_failed]


def evaluated_roles(evaluation: Evaluation, runtime: Runtime) -> tuple[EvaluationRecord, dict[str, Role]]:
    """The evaluation as it is stored, and the roles that the evaluator asks, with revisions and prices.

    Raises ConfigError for one that is missing, for an API key that is not set and for weights that cannot be read.
    """
    for name in evaluation.evaluator.roles:
        if name not in evaluation.roles:
            raise ConfigError(
                f"evaluating {evaluation.evaluator.kind} needs a model in the role {name!r}; add models.{name}"
            )
    roles = with_prices(with_revisions({name: evaluation.roles[name] for name in evaluation.evaluator.roles}))
    check_keys(roles, runtime.environment)
    return replace(evaluation, roles=roles).record(), roles


def numbered_items(evaluation: Evaluation, limit: int | None) -> list[tuple[int, Item]]:
    """The first `limit` items with their positions, which count from 1."""
    return list(enumerate(evaluation.items[:limit], start=1))
