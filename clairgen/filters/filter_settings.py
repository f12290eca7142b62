"""Which filters are in force, within which bounds, and what each does with what it finds: `filters:` of the configuration.

A filter is written as its bounds, as its action, or as both:

    filters:
      length_ratio: [0.5, 2.0]                       # null leaves an end open
      jaccard: {bounds: [10, null], action: mark}
      truncated: mark
      empty: off
      near_duplicate: {threshold: 0.9, action: drop}
      contamination: {files: [eval.jsonl], ngram: 13, action: drop}
      recipes:                                       # for the pairs of one recipe, in place of what is written above
        degraded: {length_ratio: off}
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    RootModel,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    create_model,
    field_validator,
    model_serializer,
)
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue

from clairgen.errors import ConfigError
from clairgen.filters.filter import Check, Filter
from clairgen.filters.options import Action, Bounds, FilterOptions, Range
from clairgen.filters.registry import FILTERS, RENAMED, current_name
from clairgen.records import FilterAction
from clairgen.wording import counted, one_line_repr

_RECIPES = "recipes"


class FilterSettings(RootModel[SerializeAsAny[BaseModel]]):
    """The filters of a run, each with its options: all of clairgen's own, and those of plugins that are named.

    They are those of every recipe but for what `recipes` says; `of` gives those of one recipe. Everything else here is of the
    recipes that are not named there.
    `model_dump_json` is the record of a filter set: everything is written out, in the order in which the filters look. A
    record is read with `from_record`.
    """

    model_config = ConfigDict(frozen=True)

    root: SerializeAsAny[BaseModel] = Field(default_factory=lambda: _validated({}))

    @classmethod
    def from_record(cls, record: str) -> "FilterSettings":
        """The settings of a filter set that a run has recorded, also with old names or under an older version.

        A filter that the record does not know was not in force, so it is off if it would look by default. One that is no longer
        installed can be described and turned off, but not applied.
        """
        written = _with_current_names(json.loads(record))
        looking = [one for one in FILTERS.built_in.values() if one.options().decide(revises=True) is not None]
        absent = {one.name: {"action": "off"} for one in looking if one.name not in written}
        return cls(_validated(written | absent, may_be_uninstalled=_names_in(written)))

    def changed(self, changes: Mapping[str, Mapping[str, object]], recipes: Sequence[str] = ()) -> "FilterSettings":
        """The same settings with some options of some filters replaced, for `recipes` alone if any are given.

        ConfigError for a filter that does not exist.
        """
        written = self.model_dump(mode="json")
        for name, options in changes.items():
            current = current_name(name)
            if current not in written:
                FILTERS.named(current)
            if not recipes:
                written[current] = written.get(current, {}) | options
            for recipe in recipes:
                before = self.of(recipe).model_dump(mode="json").get(current, {})
                written.setdefault(_RECIPES, {}).setdefault(recipe, {})[current] = before | options
        return FilterSettings(_validated(written, may_be_uninstalled=_names_in(self.model_dump())))

    @property
    def recipes(self) -> tuple[str, ...]:
        """The recipes that have filters of their own."""
        return tuple(getattr(self.root, _RECIPES))

    def of(self, recipe: str) -> "FilterSettings":
        """The settings for the pairs of one recipe: what is written for it replaces the whole options of those filters."""
        if recipe not in self.recipes:
            return self
        written = self.model_dump(mode="json")
        own = written.pop(_RECIPES)[recipe]
        return FilterSettings(_validated(written | own, may_be_uninstalled=_names_in(written | own)))

    @classmethod
    def known_fields(cls) -> Mapping[str, FieldInfo]:
        """The keys that `filters:` may have, those of installed plugins included."""
        return _fields(tuple(FILTERS.from_plugins.values())).model_fields

    @property
    def alone(self) -> "FilterSettings":
        """The same settings without those of single recipes."""
        return FilterSettings(self.root.model_copy(update={_RECIPES: {}})) if self.recipes else self

    @property
    def filters(self) -> tuple[Filter[Any], ...]:
        """The filters in the order in which they look at a pair."""
        return tuple(_filter(name) for name in type(self.root).model_fields if name != _RECIPES)

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - the options are of each filter's own type
        return getattr(self.root, name)

    def action(self, name: str, *, revises: bool) -> FilterAction | None:
        """What this filter does with what it finds; None if it does not look. `revises` is whether the pair's recipe does."""
        return _filter(name).action(self[name], revises=revises)

    def bounds(self, name: str) -> Range:
        """The lowest and the highest value that this filter keeps; None is an open end."""
        options: Bounds = self[name]
        return options.bounds or (None, None)

    def counted_from(self, folder: Path) -> "FilterSettings":
        """The same settings with the paths of files counted from `folder`, so that a run can be continued from anywhere."""
        options = {one.name: self[one.name].counted_from(folder) for one in self.filters}
        own = {
            recipe: written.model_copy(
                update={name: value.counted_from(folder) for name, value in written if value is not None}
            )
            for recipe, written in getattr(self.root, _RECIPES).items()
        }
        return FilterSettings(self.root.model_copy(update={**options, _RECIPES: own}))

    def is_in_force(self, name: str) -> bool:
        """Whether this filter is in force for any recipe."""
        return any(settings.action(name, revises=True) is not None for settings in (self, *map(self.of, self.recipes)))

    @property
    def compares_pairs(self) -> bool:
        """Whether a filter is in force, for any recipe, that needs the whole run."""
        return any(one.whole_run and self.is_in_force(one.name) for one in self.filters)

    @property
    def phrases(self) -> tuple[str, ...]:
        """A phrase for each filter in force, such as `length_ratio 0.5 to 2: drop`; last what differs for single recipes."""
        of_all = tuple(phrase for one in self.filters if (phrase := self._phrase(one)))
        return (*of_all, *(phrase for recipe in self.recipes for phrase in self._phrases_of(recipe)))

    def __repr__(self) -> str:
        return one_line_repr(self, counted(len(self.filters), "filter"), self.description)

    @property
    def description(self) -> str:
        """All filters in force in one line."""
        return "; ".join(self.phrases) or "no filter"

    def _phrases_of(self, recipe: str) -> tuple[str, ...]:
        settings, own = self.of(recipe), getattr(self.root, _RECIPES)[recipe]
        written = [one for one in settings.filters if getattr(own, one.name) is not None]
        phrases = {phrase.partition(" ")[0].rstrip(":"): phrase for phrase in settings.phrases}
        return tuple(f"{recipe} alone: {phrases.get(one.name, f'{one.name} off')}" for one in written)

    def _phrase(self, one: Filter[Any]) -> str:
        options: FilterOptions = self[one.name]
        revision, other = one.action(options, revises=True), one.action(options, revises=False)
        if revision is None:
            return ""
        named = f"{one.name} {options.limits}".rstrip()
        if other is None:
            return f"{named}: {revision} revisions"
        return f"{named}: {revision}" if revision is other else f"{named}: {revision} revisions, {other} others"

    @field_validator("root", mode="before")
    @classmethod
    def _by_name(cls, written: object) -> BaseModel:
        if isinstance(written, BaseModel):
            return written
        if not isinstance(written, Mapping):
            raise ValueError("`filters` is a mapping of names of filters to their bounds, action or options")
        return _validated(_with_current_names(written))

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: object, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        del core_schema
        return handler(_fields(tuple(FILTERS.from_plugins.values())).__pydantic_core_schema__)


class Uninstalled(FilterOptions):
    """The options of a filter that a run was filtered with and that is not installed any more."""

    model_config = ConfigDict(extra="allow")

    action: Action | None = None

    def decide(self, *, revises: bool) -> FilterAction | None:
        """The recorded action."""
        del revises
        return None if self.action == "off" else FilterAction(self.action or "drop")


def _filter(name: str) -> Filter[Any]:
    return FILTERS[name] if name in FILTERS else _uninstalled(name)


def _uninstalled(name: str) -> Filter[Uninstalled]:
    def refuse(options: Uninstalled) -> Check:
        del options
        raise ConfigError(
            f"the filter {name!r} is in force in this run, but its plugin is not installed; install it, or turn the filter "
            f"off with: clairgen filter RUN --off {name}"
        )

    return Filter(name, Uninstalled, "A filter of a plugin that is not installed.", refuse)


def _with_current_names(written: Mapping[Any, Any]) -> dict[Any, Any]:
    for old, name in RENAMED.items():
        if old in written and name in written:
            raise ValueError(f"{old!r} is the old name of {name!r}; keep only {name!r}")
    found = {RENAMED.get(key, key): options for key, options in written.items()}
    if isinstance(recipes := found.get(_RECIPES), Mapping):
        found[_RECIPES] = {
            recipe: _with_current_names(own) if isinstance(own, Mapping) else own for recipe, own in recipes.items()
        }
    return found


def _names_in(written: Mapping[str, Any]) -> set[str]:
    """The names of all filters in a record, those of single recipes included."""
    return {*written, *(name for own in (written.get(_RECIPES) or {}).values() for name in own)} - {_RECIPES}


def _validated(written: Mapping[str, Any], may_be_uninstalled: Iterable[str] = ()) -> BaseModel:
    of_recipes = written.get(_RECIPES)
    own = of_recipes.values() if isinstance(of_recipes, Mapping) else ()
    named = {*written, *(name for one in own if isinstance(one, Mapping) for name in one)} - {_RECIPES}
    others = [name for name in named if name not in FILTERS.built_in]
    known = [name for name in others if name in FILTERS or name in may_be_uninstalled]
    return _fields(tuple(_filter(name) for name in sorted(known))).model_validate(written)


class _Options(BaseModel):
    """Options by filter. A record of them has no filter that is not written and no recipe that has none of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_serializer(mode="wrap")
    def _written(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: options for name, options in serialize(self).items() if options not in (None, {})}


@lru_cache
def _fields(plugins: tuple[Filter[Any], ...]) -> type[BaseModel]:
    """The model with a field for each filter, in the order in which they look: clairgen's own and those of `plugins`."""
    filters = sorted((*FILTERS.built_in.values(), *plugins), key=lambda one: one.whole_run)
    fields: dict[str, Any] = {
        one.name: (one.options, Field(default=one.options(), description=one.summary)) for one in filters
    }
    own: dict[str, Any] = {one.name: (one.options | None, None) for one in filters}
    of_one_recipe = create_model("FiltersOfRecipe", __base__=_Options, **own)
    described: Any = Field(
        default_factory=dict,
        description="Other options for the pairs of single recipes, by the recipe's name and then the filter's.",
    )
    shape = WithJsonSchema({"type": "object", "additionalProperties": {"type": "object"}, "default": {}})
    fields[_RECIPES] = (Annotated[dict[str, of_one_recipe], shape], described)
    words = "Which filters look at the pairs, within which bounds, and what each does with what it finds."
    return create_model("FilterSettings", __base__=_Options, __doc__=words, **fields)
