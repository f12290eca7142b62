"""clairgen: preference pairs that differ in quality and little else, every answer kept (arXiv 2408.06266).

As a library, with the configuration that `clairgen init` writes, in a script or a notebook:

    import clairgen
    from clairgen import sync

    config = clairgen.load_config("config.yaml")
    print(sync.generate(config, "runs/first", clairgen.Options(limit=100)))
    for recipe in sync.report("runs/first"):
        print(recipe, recipe.dropped)
    print(sync.export("runs/first", "datasets/first", overwrite=True))

`clairgen.sync` waits for each call and shows its progress. The same names in `clairgen` are coroutines, for programs that have an
event loop of their own: `await clairgen.generate(config, "runs/first")`. Configurations, runs and folders are named by strings or
by `pathlib.Path`. A name is imported when it is first used, so that `import clairgen` is fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clairgen import sync as sync
    from clairgen.api import export as export
    from clairgen.api import filters_in_force as filters_in_force
    from clairgen.api import pairs as pairs
    from clairgen.api import report as report
    from clairgen.api import status as status
    from clairgen.api import with_tasks as with_tasks
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
    from clairgen.filters.filter_settings import FilterSettings as FilterSettings
    from clairgen.filters.registry import FILTERS as FILTERS
    from clairgen.metrics.contrast import METRICS as METRICS
    from clairgen.metrics.contrast import Metric as Metric
    from clairgen.pipeline.advise import AdviseOptions as AdviseOptions
    from clairgen.pipeline.advise import AdviseSummary as AdviseSummary
    from clairgen.pipeline.advise import advise as advise
    from clairgen.pipeline.estimate import CostEstimate as CostEstimate
    from clairgen.pipeline.estimate import estimate as estimate
    from clairgen.pipeline.generate import Options as Options
    from clairgen.pipeline.generate import Summary as Summary
    from clairgen.pipeline.generate import generate as generate
    from clairgen.pipeline.import_pairs import ImportOptions as ImportOptions
    from clairgen.pipeline.import_pairs import ImportSummary as ImportSummary
    from clairgen.pipeline.import_pairs import import_pairs as import_pairs
    from clairgen.pipeline.progress import Progress as Progress
    from clairgen.pipeline.refilter import filter_pairs as filter_pairs
    from clairgen.recipes.recipe import Recipe as Recipe
    from clairgen.recipes.registry import RECIPES as RECIPES
    from clairgen.records import Completion as Completion
    from clairgen.records import Message as Message
    from clairgen.records import Pair as Pair
    from clairgen.records import StoredPair as StoredPair
    from clairgen.records import Task as Task
    from clairgen.records import Undecided as Undecided
    from clairgen.reporting.lint.findings import Finding as Finding
    from clairgen.reporting.lint.findings import LintReport as LintReport
    from clairgen.reporting.lint.lint_pairs import lint as lint
    from clairgen.sync import TrainedModel as TrainedModel
    from clairgen.sync import train as train

_MODULES = {
    "AdviseOptions": "pipeline.advise",
    "AdviseSummary": "pipeline.advise",
    "Candidate": "filters.filter",
    "CheckableQuestion": "evaluation.checkable_questions",
    "ClairgenError": "errors",
    "Completion": "records",
    "CostEstimate": "pipeline.estimate",
    "EvaluationResult": "evaluation.results",
    "FILTERS": "filters.registry",
    "Fault": "filters.filter",
    "Filter": "filters.filter",
    "FilterSettings": "filters.filter_settings",
    "Finding": "reporting.lint.findings",
    "ImportOptions": "pipeline.import_pairs",
    "ImportSummary": "pipeline.import_pairs",
    "LintReport": "reporting.lint.findings",
    "METRICS": "metrics.contrast",
    "Message": "records",
    "Metric": "metrics.contrast",
    "Options": "pipeline.generate",
    "Pair": "records",
    "Progress": "pipeline.progress",
    "RECIPES": "recipes.registry",
    "Recipe": "recipes.recipe",
    "Role": "config.role",
    "RunConfig": "config.models",
    "StoredPair": "records",
    "Summary": "pipeline.generate",
    "Task": "records",
    "TrainedModel": "sync",
    "Undecided": "records",
    "UserError": "errors",
    "advise": "pipeline.advise",
    "compared": "evaluation.results",
    "estimate": "pipeline.estimate",
    "evaluate_questions": "evaluation.checkable_questions",
    "export": "api",
    "filter_pairs": "pipeline.refilter",
    "filters_in_force": "api",
    "generate": "pipeline.generate",
    "import_pairs": "pipeline.import_pairs",
    "lint": "reporting.lint.lint_pairs",
    "load_config": "config.file",
    "pairs": "api",
    "report": "api",
    "status": "api",
    "sync": "sync",
    "train": "sync",
    "with_tasks": "api",
}

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name not in _MODULES:
        raise AttributeError(f"module 'clairgen' has no attribute {name!r}")
    module = import_module(f"clairgen.{_MODULES[name]}")
    return module if name == _MODULES[name] else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(_MODULES)
