"""The configuration of a round: the user's, with one recipe, and with the newest model in the role of the target."""

from pathlib import Path
from typing import Any

from clairgen.config.models import RunConfig
from clairgen.config.role import Role
from clairgen.embedded.gguf import embedded_address, is_embedded
from clairgen.errors import ConfigError
from clairgen.inference.factory import with_revisions
from clairgen.iteration.lineage import Model
from clairgen.pipeline.ingest import source_facts
from clairgen.pipeline.plans import plan_recipes, roles_used


def with_one_recipe(config: RunConfig, recipe: str | None) -> RunConfig:
    """The configuration with the one recipe whose pairs are trained on. Raises ConfigError where it is not clear which, or asks
    no target.
    """
    if config.imports:
        raise ConfigError("rounds make their own pairs, so a configuration for them has no `import`; leave it out")
    names = [choice.called for choice in config.recipes]
    if recipe is None and len(names) > 1:
        raise ConfigError(
            f"the configuration has the recipes {', '.join(names)}; name the one to train on with --recipe"
        )
    if recipe is not None and recipe not in names:
        raise ConfigError(f"the configuration has no recipe {recipe!r}; it has {', '.join(names)}")
    one = config.model_copy(update={"recipes": [each for each in config.recipes if recipe in (None, each.called)]})
    if "target" not in config.models:
        raise ConfigError("the configuration has no models.target, which is the model that rounds train; add it")
    if "target" not in roles_used(one):
        raise ConfigError(
            f"the recipe {one.recipes[0].called} does not ask the target, so its pairs would be the same in every round; choose "
            "one that does with --recipe"
        )
    return one


def first_weights(target: Role, named: str | None) -> str:
    """Where the weights of the first target are, to train on: as named, else the folder of the file that is served.

    Raises ConfigError where neither says it, or what is named is on this machine and no model.
    """
    if named is not None and not Path(named).exists():
        return named
    if named is not None:
        folder = Path(named).resolve()
        if not any((folder / name).is_file() for name in ("config.json", "adapter_config.json")):
            raise ConfigError(f"--model {named} is no folder of a model, it has no config.json; name the one that has")
        return str(folder)
    for endpoint in filter(is_embedded, target.endpoints):
        folder = embedded_address(endpoint).path.parent
        if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")):
            return str(folder)
    raise ConfigError(
        f"the weights of models.target ({target.model}) are not beside a model file on this machine; name their folder, or their "
        "name on the hub, with --model"
    )


def as_target(target: Role, model: Model, endpoint: str) -> Role:
    """The configured target with a trained model in its place, which is served on this machine at no cost."""
    first = target.endpoints[0]
    _, mark, options = first.partition("?") if is_embedded(first) and is_embedded(endpoint) else ("", "", "")
    return target.served_here(f"{endpoint}{mark}{options}", model.revision)


def with_target(config: RunConfig, target: Role) -> RunConfig:
    """The configuration with another target."""
    return config.model_copy(update={"models": {**config.models, "target": target}})


def generation_facts(config: RunConfig) -> dict[str, Any]:
    """What the pairs of all rounds rest on, by name: models, prompts and options of the recipe, filters and tasks.

    Raises UserError for a configuration that `generate` would refuse.
    """
    roles = with_revisions(roles_used(config))
    (planned,) = plan_recipes(config, roles)
    tasks = {name: value for name, value in source_facts(config.task_source, config.seed).items() if name != "touched"}
    return {
        "recipe": planned.recipe.name,
        **planned.plan.facts,
        "filters": config.filters.model_dump(mode="json"),
        "tasks": tasks,
    }
