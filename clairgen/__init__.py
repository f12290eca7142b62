"""clairgen: preference pairs that differ in quality and little else, every answer kept (arXiv 2408.06266).

As a library, with the configuration that `clairgen init` writes:

    import asyncio

    import clairgen


    async def main() -> None:
        config = clairgen.load_config("config.yaml")
        summary = await clairgen.generate(config, "runs/first", clairgen.Options(limit=100))
        print(summary)
        for recipe in await clairgen.report("runs/first"):
            print(recipe, recipe.dropped)
        print(await clairgen.export("runs/first", "datasets/first", overwrite=True))


    asyncio.run(main())

In a notebook, whose event loop is running already, write `await main()` in place of the last line. Configurations, runs and
folders are named by strings or by `pathlib.Path`. A name is imported when it is first used, so that `import clairgen` is fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clairgen.api import export as export
    from clairgen.api import report as report
    from clairgen.api import status as status
    from clairgen.config.file import load_config as load_config
    from clairgen.config.models import RunConfig as RunConfig
    from clairgen.config.role import Role as Role
    from clairgen.errors import ClairgenError as ClairgenError
    from clairgen.errors import UserError as UserError
    from clairgen.evaluation.checkable_questions import CheckableQuestion as CheckableQuestion
    from clairgen.evaluation.checkable_questions import evaluate_questions as evaluate_questions
    from clairgen.evaluation.results import EvaluationResult as EvaluationResult
    from clairgen.evaluation.results import compared as compared
    from clairgen.filters.filter import Candidate as Candidate
    from clairgen.filters.filter import Fault as Fault
    from clairgen.filters.filter import Filter as Filter
    from clairgen.filters.registry import FILTERS as FILTERS
    from clairgen.metrics.contrast import METRICS as METRICS
    from clairgen.metrics.contrast import Metric as Metric
    from clairgen.pipeline.generate import Options as Options
    from clairgen.pipeline.generate import Summary as Summary
    from clairgen.pipeline.generate import generate as generate
    from clairgen.pipeline.progress import Progress as Progress
    from clairgen.pipeline.refilter import filter_pairs as filter_pairs
    from clairgen.recipes.recipe import Recipe as Recipe
    from clairgen.recipes.registry import RECIPES as RECIPES
    from clairgen.records import Completion as Completion
    from clairgen.records import Message as Message
    from clairgen.records import Pair as Pair
    from clairgen.records import Task as Task
    from clairgen.records import Undecided as Undecided

_MODULES = {
    "FILTERS": "filters.registry",
    "METRICS": "metrics.contrast",
    "RECIPES": "recipes.registry",
    "Candidate": "filters.filter",
    "CheckableQuestion": "evaluation.checkable_questions",
    "ClairgenError": "errors",
    "Completion": "records",
    "EvaluationResult": "evaluation.results",
    "Fault": "filters.filter",
    "Filter": "filters.filter",
    "Message": "records",
    "Metric": "metrics.contrast",
    "Options": "pipeline.generate",
    "Pair": "records",
    "Progress": "pipeline.progress",
    "Recipe": "recipes.recipe",
    "Role": "config.role",
    "RunConfig": "config.models",
    "Summary": "pipeline.generate",
    "Task": "records",
    "Undecided": "records",
    "UserError": "errors",
    "compared": "evaluation.results",
    "evaluate_questions": "evaluation.checkable_questions",
    "export": "api",
    "filter_pairs": "pipeline.refilter",
    "generate": "pipeline.generate",
    "load_config": "config.file",
    "report": "api",
    "status": "api",
}

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name not in _MODULES:
        raise AttributeError(f"module 'clairgen' has no attribute {name!r}")
    return getattr(import_module(f"clairgen.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_MODULES)
