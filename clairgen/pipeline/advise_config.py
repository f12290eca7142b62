"""What `advise` works with: the run's own models, roles that a configuration brings, and who compares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clairgen.config.file import parse_config
from clairgen.config.models import RecipeChoice, RunConfig
from clairgen.config.prices import check_budget, with_prices
from clairgen.config.role import Role
from clairgen.errors import ConfigError, InputError, RunError
from clairgen.inference.factory import check_keys, with_revisions
from clairgen.pipeline.plans import differences, role_facts
from clairgen.pipeline.reward_model import RewardModel
from clairgen.recipes.judge import JUDGE_SLOTS
from clairgen.recipes.recipe import RecipeContext
from clairgen.store import Plan, RunDirectory, Store
from clairgen.templates import load_template


@dataclass(frozen=True, slots=True)
class Fitted:
    """The recipes to advise on, the roles that are asked and who compares (`by`); `context` is None for a reward model."""

    config: RunConfig
    recipes: tuple[str, ...]
    roles: Mapping[str, Role]
    by: str
    context: RecipeContext | None

    def check(self, budget_usd: float | None, environment: Mapping[str, str]) -> None:
        """Raise ConfigError for a key that is not set, or a price that the budget needs and nobody knows."""
        check_keys(self.roles, environment)
        if budget_usd is not None or self.config.budget_usd is not None:
            check_budget(self.roles)


async def fitted(
    store: Store,
    run: RunDirectory,
    recipes: Sequence[str],
    brought: RunConfig | None,
    reward_model: RewardModel | None,
    *,
    samples: int,
) -> Fitted:
    """Put together from the configuration saved with the run, over which the roles of `brought` go.

    Raises UserError for a recipe that the run does not have, a missing target or judge, another target than the pairs' own,
    and several samples at temperature 0.
    """
    configuration = await store.facts.configuration()
    plans = await store.facts.plans()
    if configuration is None or not plans:
        raise RunError(f"{run.path} has no pairs yet; run generate first")
    for recipe in recipes:
        if recipe not in plans:
            raise InputError(f"the run {run.path} has no recipe {recipe!r}; it has {', '.join(plans)}")
    saved = parse_config(configuration, f"the configuration of {run.path}")
    models = {**saved.models, **(brought.models if brought is not None else {})}
    if "target" not in models:
        raise ConfigError(
            f"the run {run.path} has no target, whose answers its winners could be compared with; name a configuration that "
            "has models.target with --config"
        )
    judges = [] if reward_model is not None else _judges(models, brought, run)
    roles = with_prices(with_revisions({name: models[name] for name in ("target", *judges)}))
    chosen = tuple(dict.fromkeys(recipes)) or tuple(plans)
    for recipe in chosen:
        _check_target(plans[recipe], roles["target"], saved.seed, run)
    if samples > 1 and roles["target"].temperature == 0:
        raise ConfigError("at temperature 0 all answers of the target are the same; leave --samples out")
    config = saved
    if brought is not None and brought.budget_usd is not None:
        config = saved.model_copy(update={"budget_usd": brought.budget_usd})
    if reward_model is not None:
        return Fitted(config, chosen, roles, f"reward model {reward_model.name}", None)
    context = RecipeContext(
        RecipeChoice(name="advise", order="both"),
        {"judge": load_template("judge", JUDGE_SLOTS)},
        judges,
        saved.seed,
    )
    return Fitted(config, chosen, roles, ", ".join(f"{name} {roles[name].model}" for name in judges), context)


def _judges(models: Mapping[str, Role], brought: RunConfig | None, run: RunDirectory) -> list[str]:
    """The judges that a configuration brings, all of them and none else; without any, those of the run."""
    source = brought.models if brought is not None and "judge" in brought.models else models
    judges = sorted(name for name in source if name.startswith("judge"))
    if not judges:
        raise ConfigError(
            f"the run {run.path} has no judge to compare answers; name a configuration that has models.judge with --config, "
            "or score with --reward-model"
        )
    return judges


def _check_target(plan: Plan, target: Role, seed: int, run: RunDirectory) -> None:
    before = plan.facts.get("models.target")
    if before is not None and (changed := list(differences(before, role_facts(target, seed), "models.target"))):
        raise ConfigError(
            f"the target is not the one that the pairs of {plan.recipe} in {run.path} were made with ({'; '.join(changed)}); "
            "winners are compared with the model that they are to train, so give models.target as it was"
        )
