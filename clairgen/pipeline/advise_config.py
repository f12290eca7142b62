"""What `advise` works with: the run's own models, those of a further configuration, and who compares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clairgen.config.differences import differences, sentence
from clairgen.config.file import parse_config
from clairgen.config.models import RecipeChoice, RunConfig
from clairgen.config.prices import check_budget, with_prices
from clairgen.config.role import Role
from clairgen.errors import ConfigError, InputError, RunError
from clairgen.inference.factory import check_keys, with_revisions
from clairgen.inference.local_rewards import RewardModel
from clairgen.pipeline.plans import role_facts
from clairgen.recipes.judge import JUDGE_SLOTS
from clairgen.recipes.recipe import RecipeContext
from clairgen.store import Plan, RunDirectory, Store
from clairgen.templates import load_template


@dataclass(frozen=True, slots=True)
class AdviseConfig:
    """The recipes to advise on, the roles that requests go to and who compares (`by`); `context` is None for a reward model."""

    config: RunConfig
    recipes: tuple[str, ...]
    roles: Mapping[str, Role]
    by: str
    context: RecipeContext | None

    def check(self, budget_usd: float | None, environment: Mapping[str, str]) -> None:
        """Raise ConfigError for an API key that is not set, or a price that the budget needs and that is not known."""
        check_keys(self.roles, environment)
        if budget_usd is not None:
            check_budget(self.roles)


async def advise_config(
    store: Store,
    run: RunDirectory,
    recipes: Sequence[str],
    given: RunConfig | None,
    reward_model: RewardModel | None,
    *,
    samples: int,
) -> AdviseConfig:
    """The configuration saved with the run, with the roles of `given` in place of its own.

    Raises UserError for a recipe that the run does not have, a missing target or judge, another target than the pairs' own,
    and several samples at temperature 0.
    """
    plans = await store.metadata.plans()
    saved = _saved(await store.metadata.configuration(), plans, given, run)
    for recipe in recipes:
        if recipe not in plans:
            raise InputError(f"the run {run.path} has no recipe {recipe!r}; it has {', '.join(plans)}")
    models = {**saved.models, **(given.models if given is not None else {})}
    if "target" not in models:
        raise ConfigError(
            f"the run {run.path} has no target, whose answers its winners could be compared with; name a configuration that "
            "has models.target with --config"
        )
    judges = [] if reward_model is not None else _judges(models, given, run)
    roles = with_prices(with_revisions({name: models[name] for name in ("target", *judges)}))
    chosen = tuple(dict.fromkeys(recipes)) or tuple(plans)
    for recipe in chosen:
        _check_target(plans[recipe], roles["target"], saved.seed, run)
    if samples > 1 and roles["target"].temperature == 0:
        raise ConfigError("at temperature 0 all answers of the target are the same; leave --samples out")
    config = saved
    if given is not None and given.budget_usd is not None:
        config = saved.model_copy(update={"budget_usd": given.budget_usd})
    if reward_model is not None:
        return AdviseConfig(config, chosen, roles, f"reward model {reward_model.name}", None)
    context = RecipeContext(
        RecipeChoice(name="advise", order="both"),
        {"judge": load_template("judge", JUDGE_SLOTS)},
        judges,
        saved.seed,
    )
    return AdviseConfig(config, chosen, roles, ", ".join(f"{name} {roles[name].model}" for name in judges), context)


def _saved(
    configuration: str | None, plans: Mapping[str, Plan], given: RunConfig | None, run: RunDirectory
) -> RunConfig:
    """The configuration saved with the run; the given one where all pairs were imported, so that there is none."""
    if configuration is not None and plans:
        return parse_config(configuration, f"the configuration of {run.path}")
    if not any(plan.imported_from is not None for plan in plans.values()):
        raise RunError(f"{run.path} has no pairs yet; run generate first")
    if given is None:
        raise ConfigError(
            f"the pairs of {run.path} are imported, so the run has no models; name a configuration that has models.target, and "
            "models.judge or the option --reward-model, with --config"
        )
    return given


def _judges(models: Mapping[str, Role], given: RunConfig | None, run: RunDirectory) -> list[str]:
    """The judges of the given configuration, all of them and no others; those of the run if it has none."""
    source = given.models if given is not None and "judge" in given.models else models
    judges = sorted(name for name in source if name.startswith("judge"))
    if not judges:
        raise ConfigError(
            f"the run {run.path} has no judge to compare answers; name a configuration that has models.judge with --config, "
            "or score with --reward-model"
        )
    return judges


def _check_target(plan: Plan, target: Role, seed: int, run: RunDirectory) -> None:
    before = plan.facts.get("models.target")
    if before is None:
        return
    changed = [sentence(one) for one in differences(before, role_facts(target, seed), ("models", "target"))]
    if changed:
        raise ConfigError(
            f"the target is not the one that the pairs of {plan.recipe} in {run.path} were made with ({'; '.join(changed)}); "
            "winners are compared with the model that they are to train, so give models.target as it was"
        )
