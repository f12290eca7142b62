"""The configuration of a run, every key explained. Secrets are named by their environment variable and never stored.

`file` reads it from YAML.
"""

import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from clairgen.config.criteria import Criterion, each_name_once
from clairgen.config.field_checks import Positive, Strict
from clairgen.config.role import Role
from clairgen.errors import ConfigError
from clairgen.filters.filter_settings import FilterSettings
from clairgen.metrics.contrast import DEFAULT_TOKENIZER
from clairgen.patterns import lazy_pattern
from clairgen.wording import one_line_repr

REWARD_MODEL: Final = "reward-model"
_SINGLE_ROLES: Final = rf"target|reviser|critic|editor|judge-\d+|stronger|strong|weak|{REWARD_MODEL}|other-\d+"
RANK = lazy_pattern(r"(?!.*score)(?:.*[^a-z])?rank(s|ing|ings)?(?![a-z])", re.IGNORECASE)
RoleName = Annotated[
    str,
    Field(pattern=r"^(target|reviser|critic|editor|judge(-\d+)?|stronger|strong|weak|reward-model|other-\d+)$"),
]
_VARIANT_NAME = lazy_pattern(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_FILES_OF_EXPORTS: Final = frozenset({"readme.md"})


class RevisionCheck(Strict):
    """What a revision must measure; one that does not is requested once more."""

    length_ratio: tuple[float, float] | None = Field(
        None, description="Characters of chosen / rejected, lowest and highest."
    )
    edit_share: tuple[float, float] | None = Field(
        None, description="Character edits / characters of the longer answer, lowest and highest, from 0 to 1."
    )

    @model_validator(mode="after")
    def _lowest_before_highest(self) -> "RevisionCheck":
        for bounds in (self.length_ratio, self.edit_share):
            if bounds is not None and not 0 <= bounds[0] <= bounds[1]:
                raise ValueError(f"give the lowest value first, then the highest, neither below 0, not {list(bounds)}")
        return self


class RecipeChoice(Strict):
    """A recipe to make, with its options."""

    name: str = Field(description="The recipe's name, such as `clair`.")
    as_name: str | None = Field(
        None,
        alias="as",
        description="What its pairs are called in the run, if not by the recipe's name; so that one recipe can be there several "
        "times.",
    )
    template: str | None = Field(None, description="A shipped prompt template, or the path of your own (.txt).")
    order: Literal["random", "both"] = Field(
        "random",
        description="How a judge is shown two answers: in a random order, or in both orders, where only agreement counts.",
    )
    check: RevisionCheck | None = Field(
        None,
        description="What a revision must measure, else it is requested once more; the shipped variants have their own.",
    )
    samples: int = Field(
        4, ge=2, le=512, description="How many revisions, or answers of the target, the best one is chosen from."
    )
    critiques: int = Field(
        1, ge=1, le=16, description="How often the critic is asked; the editor is given all feedback."
    )
    answers: Literal["target", "others"] = Field(
        "target", description="Whose answers are scored: samples of the target, or one of each of models.others."
    )
    by: Literal["judge", "scores", "reward-model", "rubric"] = Field(
        "judge",
        description="Who chooses between answers: a judge, the scores that the data set has, a reward model, or a judge by the "
        "rubric.",
    )
    margin_rule: Literal["best-worst", "mean-minus-two-sigma"] = Field(
        "best-worst",
        description="Which answer the best one is preferred to: the worst, or the one whose score is nearest to two standard "
        "deviations below the mean.",
    )
    min_margin: float = Field(
        0, ge=0, description="Smallest difference of the scores of two answers of which one is preferred."
    )

    @field_validator("as_name")
    @classmethod
    def _names_a_folder_of_exports(cls, name: str | None) -> str | None:
        if name is not None and not _VARIANT_NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} cannot name a subset of an export; use up to 64 of the letters a to z, digits, '.', '_' and '-', with "
                "a letter or a digit first and last"
            )
        if name is not None and name.lower() in _FILES_OF_EXPORTS:
            raise ValueError(f"{name!r} is the name of a file of every export; choose another name")
        return name

    @property
    def called(self) -> str:
        """What its pairs are called in the run."""
        return self.as_name or self.name


class TaskSource(Strict):
    """Where the prompts come from: a file (`path`) or a data set on the Hugging Face hub (`hub`)."""

    path: Path | None = Field(
        None, description="A .jsonl, .csv or .parquet file; a relative path counts from this file."
    )
    hub: str | None = Field(None, description="A data set on the Hugging Face hub, as owner/name.")
    subset: str | None = Field(None, description="The hub data set's configuration, if it has several.")
    split: str = Field("train", description="The hub data set's split.")
    column: str | None = Field(
        None, description="The column with the prompt, if it is not `prompt` or `messages`, or if both are there."
    )
    answers: str | list[str] | None = Field(
        None,
        description="Answers that the data set contains: a column with a list of objects, as in UltraFeedback, or text columns.",
    )
    scores: str | list[str] | None = Field(
        None,
        description="Their scores, of which the higher is the better: the name of an object's field (`fine-grained_score` by "
        "default, `overall_score` in rows without it), a column with a list beside a list of texts, or a column for each answer.",
    )
    assistant_turns: Literal["given", "own"] = Field(
        "given",
        description="What stands between the user's turns of a conversation: what the data set has there, or the target's own "
        "answers, turn by turn. Only answers to the last turn are compared.",
    )
    sample: Positive | None = Field(None, description="Take this many rows, drawn uniformly by the run's seed.")

    @model_validator(mode="after")
    def _one_source(self) -> "TaskSource":
        if (self.path is None) == (self.hub is None):
            raise ValueError("give exactly one of `path` (a file) and `hub` (a data set on the hub)")
        if self.assistant_turns == "own" and self.answers is not None:
            raise ValueError(
                "the data set's `answers` belong to its own conversations, not to those that the target had; leave out `answers` "
                "or `assistant_turns: own`"
            )
        if isinstance(self.scores, list) and (
            not isinstance(self.answers, list) or len(self.scores) != len(self.answers)
        ):
            raise ValueError("`scores` may be a list only if `answers` is one of the same length")
        for name in [self.scores] if isinstance(self.scores, str) else self.scores or ():
            if RANK.match(name):
                raise ValueError(
                    f"the scores {name!r} look like ranks, of which 1 is the best; a higher score must be the better one, so "
                    "name one with scores, or write one as minus the rank"
                )
        return self


class PairSource(Strict):
    """Pairs from elsewhere: a file or folder (`path`) or a data set on the hub (`hub`), as `clairgen import` takes them."""

    path: Path | None = Field(
        None,
        description="A .jsonl, .json, .csv or .parquet file, or a folder that `datasets` reads; a relative path counts from "
        "this file.",
    )
    hub: str | None = Field(None, description="A data set on the Hugging Face hub, as owner/name.")
    subset: str | None = Field(None, description="The subset of a folder or a hub data set, if it has several.")
    split: str | None = Field(
        None, description="The split of a folder or a hub data set; left out, `train`, `train_prefs`, or the only one."
    )
    name: str = Field(
        "imported",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="What the pairs are called in the run, as if a recipe of that name had made them.",
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="Which column has which role, such as `{prompt: instruction}`; needed where it is not clear.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> "PairSource":
        if (self.path is None) == (self.hub is None):
            raise ValueError("give exactly one of `path` (a file or folder) and `hub` (a data set on the hub)")
        return self

    @property
    def source(self) -> str:
        """The source as `clairgen import` takes it."""
        return f"hub:{self.hub}" if self.path is None else str(self.path)


class RunConfig(Strict):
    """Everything that a run is made from."""

    model_config = ConfigDict(serialize_by_alias=True)

    recipes: list[RecipeChoice] = Field(
        description="What to make of every task; recipes share the answers that they have in common. Not needed beside "
        "`import`.",
        json_schema_extra={"minItems": 1},
    )
    seed: int = Field(0, description="Draws the sample of tasks and the seeds of all requests.")
    tasks: TaskSource | None = Field(
        description="The prompts. Not needed beside `import`, whose prompts are tasks too."
    )
    imports: list[PairSource] | None = Field(
        None,
        alias="import",
        description="Pairs from elsewhere: a file, `hub:owner/name`, a mapping, or a list of such. Their prompts become "
        "tasks of the run, of which `recipes`, if there are any, make pairs too.",
    )
    models: dict[RoleName, Role] = Field(
        description="A model for each role that the recipes need; `others`, and `judge` if you like, are lists."
    )
    filters: FilterSettings = Field(
        default_factory=FilterSettings,
        description="What takes a pair out of exports; change it later with `clairgen filter`.",
    )
    rubric: list[Criterion] = Field(
        default_factory=list,
        description="What judges score in an answer, criterion by criterion, for the recipes that go by a rubric.",
    )
    budget_usd: float | None = Field(
        None,
        gt=0,
        le=10**6,
        description="Most that the run may cost, over all its sessions; needs a price and max_tokens in every role.",
    )
    thinking: Literal["drop", "keep"] | None = Field(
        None,
        description="Whether exports keep what a model thought before an answer, in a field beside it; left out, `drop`. "
        "Reviser, judges, metrics and filters never see it.",
    )
    tokenizer: Literal["treebank", "whitespace", "word"] = Field(
        DEFAULT_TOKENIZER,
        description="The tokenizer whose tokens the Jaccard index compares; numbers of different tokenizers are not comparable.",
    )

    @model_validator(mode="after")
    def _filters_of_known_recipes(self) -> "RunConfig":
        names = [*(one.name for one in self.imports or ()), *(recipe.called for recipe in self.recipes)]
        if unknown := [name for name in self.filters.recipes if name not in names]:
            raise ValueError(
                f"filters.recipes names {unknown[0]!r}, which is not a recipe of this run; it has {', '.join(names)}"
            )
        return self

    def __repr__(self) -> str:
        recipes, roles = ([recipe.called for recipe in self.recipes], list(self.models))
        sources = [self.tasks.path or self.tasks.hub] if self.tasks is not None else []
        sources += [one.path or one.hub for one in self.imports or ()]
        return one_line_repr(self, ", ".join(map(str, sources)), f"recipes {recipes}", f"models {roles}")

    @property
    def task_source(self) -> TaskSource:
        """`tasks`. Raises ConfigError where only imported pairs bring prompts."""
        if self.tasks is None:
            raise ConfigError("the key 'tasks' is missing; name the prompts")
        return self.tasks

    @property
    def assistant_turns(self) -> Literal["given", "own"]:
        """Whose are the assistant's turns in prompts; those of imported pairs are given."""
        return "given" if self.tasks is None else self.tasks.assistant_turns

    @property
    def compares_by_scores(self) -> bool:
        """Whether a recipe chooses between recorded answers by their scores."""
        return any(choice.by == "scores" for choice in self.recipes)

    @model_validator(mode="before")
    @classmethod
    def _imported_pairs_need_no_recipe(cls, content: object) -> object:
        if not isinstance(content, dict) or not content.get("import"):
            return content
        return {"recipes": [], "tasks": None, "models": {}} | content

    @field_validator("imports", mode="before")
    @classmethod
    def _one_may_stand_for_a_list(cls, given: object) -> object:
        if given is None:
            return None
        several = [given] if isinstance(given, str | dict) else given
        if not isinstance(several, list) or not all(isinstance(one, str | dict | PairSource) for one in several):
            raise ValueError("give a file, hub:owner/name, a mapping with `path` or `hub`, or a list of such")
        return [_pair_source(one) if isinstance(one, str) else one for one in several]

    @model_validator(mode="after")
    def _something_is_made(self) -> "RunConfig":
        if not self.recipes and not self.imports:
            raise ValueError("recipes: [] is given; it must be a list with at least one recipe")
        if self.tasks is None and not self.imports:
            raise ValueError("tasks: nothing is given; it must be a mapping with keys such as path, hub, subset")
        if self.tasks is not None and not self.recipes:
            raise ValueError(
                "tasks: they are there for recipes, and there are none; leave `tasks` out or add `recipes`"
            )
        names = [one.name for one in self.imports or ()] + [recipe.called for recipe in self.recipes]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f"import: {name!r} would be the name of two sorts of pairs; give imported ones a `name` of their own"
                )
        return self

    @field_validator("rubric")
    @classmethod
    def _each_criterion_once(cls, rubric: list[Criterion]) -> list[Criterion]:
        each_name_once(rubric)
        return rubric

    @field_validator("models", mode="before")
    @classmethod
    def _lists_stand_for_numbered_roles(cls, models: object) -> object:
        return numbered_roles(models)

    @field_validator("recipes", mode="before")
    @classmethod
    def _names_stand_for_recipes(cls, recipes: object) -> object:
        if not isinstance(recipes, list) or not all(
            isinstance(recipe, str | dict | RecipeChoice) for recipe in recipes
        ):
            raise ValueError("give a list of recipes, each by its name or as a mapping with its name, such as [clair]")
        return [{"name": recipe} if isinstance(recipe, str) else recipe for recipe in recipes]

    @field_validator("recipes")
    @classmethod
    def _each_recipe_once(cls, recipes: list[RecipeChoice]) -> list[RecipeChoice]:
        before: dict[str, str] = {}
        for name in (recipe.called for recipe in recipes):
            if (other := before.setdefault(name.lower(), name)) != name:
                raise ValueError(
                    f"the recipes {other!r} and {name!r} differ in capitals alone, which not every disk tells apart; call one of "
                    "them something else with `as: NAME`"
                )
            if sum(recipe.called == name for recipe in recipes) > 1:
                raise ValueError(
                    f"the recipe {name!r} is listed twice; list it once, or call one of them something else with `as: NAME`"
                )
        return recipes

    @field_validator("models")
    @classmethod
    def _only_reward_models_score(cls, models: dict[str, Role]) -> dict[str, Role]:
        for name, role in models.items():
            if name == REWARD_MODEL and role.api == "chat":
                raise ValueError(f"{name}: a reward model gives scores; its api is classify, pooling or score")
            if name != REWARD_MODEL and role.api != "chat":
                raise ValueError(f"{name}: `api: {role.api}` gives scores, which only models.{REWARD_MODEL} may do")
        return models


def _pair_source(given: str) -> dict[str, str]:
    """The short form of a source of pairs, written out."""
    return {"hub": given.removeprefix("hub:")} if given.startswith("hub:") else {"path": given}


def numbered_roles(models: object, further: str | None = None) -> object:
    """`others: [a, b]` as the roles other-1 and other-2, `judge: [a, b]` as judge and judge-2.

    `further` is a role that there is besides those of a run. Raises ValueError for a role that there is not.
    """
    if not isinstance(models, dict):
        return models
    flat: dict[object, object] = {}
    for name, value in models.items():
        if name not in ("judge", "others"):
            if name != further and not re.fullmatch(_SINGLE_ROLES, str(name)):
                more = f", {further}" if further is not None else ""
                raise ValueError(
                    f"there is no role {name!r}; there are target, reviser, critic, editor, judge, stronger, strong, weak, "
                    f"{REWARD_MODEL}{more} and others"
                )
            flat[name] = {"api": "classify"} | value if name == REWARD_MODEL and isinstance(value, dict) else value
            continue
        for number, role in enumerate(value if isinstance(value, list) else [value], start=1):
            single = "judge" if number == 1 else f"judge-{number}"
            numbered = single if name == "judge" else f"other-{number}"
            if numbered in models and numbered != name:
                raise ValueError(f"the role {numbered!r} is given twice, on its own and in the list {name!r}")
            flat[numbered] = role
    return flat
