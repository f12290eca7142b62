"""Words of an earlier version that are still read or written, and the words that replaced them.

An old word has the effect of the new one and leaves a note of one sentence; giving both is an error. Renamed keys of `--json`
stay beside the new ones for scripts that read them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from clairgen.errors import ConfigError
from clairgen.filters.registry import RENAMED as RENAMED_FILTERS
from clairgen.templates import RENAMED as RENAMED_TEMPLATES


@dataclass(frozen=True, slots=True)
class Renamed:
    """Old names and their new ones: `keys` at the top of a configuration, all others anywhere.

    `templates` are those of recipes, `reasons` are what filters find.
    """

    keys: Mapping[str, str]
    recipes: Mapping[str, str]
    filters: Mapping[str, str]
    templates: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)


RENAMED: Final = Renamed(
    keys={"tokeniser": "tokenizer"},
    recipes={"worsened": "degraded"},
    filters=RENAMED_FILTERS,
    templates=RENAMED_TEMPLATES,
    reasons={"alludes-to-revision": "mentions-revision"},
)


def with_new_names(
    content: Mapping[str, Any], source: str, renamed: Renamed = RENAMED
) -> tuple[dict[str, Any], list[str]]:
    """The mapping of a configuration with new names for old ones, and a note for each; `source` names it in errors.

    Raises ConfigError where it gives something by both its names.
    """
    notes: list[str] = []
    found = _keys(content, renamed.keys, "key", source, notes)
    if isinstance(filters := found.get("filters"), Mapping):
        found["filters"] = _keys(filters, renamed.filters, "filter", source, notes)
    if isinstance(recipes := found.get("recipes"), list):
        found["recipes"] = [_recipe(recipe, renamed, notes) for recipe in recipes]
    return found, list(dict.fromkeys(notes))


def note(kind: str, old: str, new: str) -> str:
    """The sentence about an old name of a `kind` of thing, such as a filter."""
    return f"Note: the {kind} {old!r} is now called {new!r}; the old name is still read."


def current_recipe(name: str, tell: Callable[[str], None]) -> str:
    """The current name of a recipe that may be given by an old one; `tell` is given the sentence about an old one."""
    return _told("recipe", name, RENAMED.recipes, tell)


def current_reason(name: str, tell: Callable[[str], None]) -> str:
    """The same of what a filter finds."""
    return _told("reason", name, RENAMED.reasons, tell)


def with_former_names(content: Mapping[str, Any], former: Mapping[str, str]) -> dict[str, Any]:
    """`content` with each former key as a copy of its new one, and `deprecated`, which says so; `former` maps old to new."""
    return {**content, **{old: content[new] for old, new in former.items()}, "deprecated": deprecated(former)}


def deprecated(former: Mapping[str, str]) -> dict[str, str]:
    """For each former key a sentence that names the new one."""
    return {old: f"renamed to {new!r}; read that key instead" for old, new in former.items()}


def _told(kind: str, name: str, names: Mapping[str, str], tell: Callable[[str], None]) -> str:
    if (current := names.get(name, name)) != name:
        tell(note(kind, name, current))
    return current


def _keys(
    content: Mapping[str, Any], names: Mapping[str, str], kind: str, source: str, notes: list[str]
) -> dict[str, Any]:
    for old, new in names.items():
        if old in content:
            if new in content:
                raise ConfigError(
                    f"{source}: {old!r} is the old name of {new!r}, which is given too; keep only {new!r}"
                )
            notes.append(note(kind, old, new))
    return {names.get(key, key): value for key, value in content.items()}


def _recipe(recipe: Any, renamed: Renamed, notes: list[str]) -> Any:  # noqa: ANN401 - a name or a mapping
    if not isinstance(recipe, Mapping):
        return _current("recipe", recipe, renamed.recipes, notes)
    kinds = (("name", "recipe", renamed.recipes), ("template", "template", renamed.templates))
    return {**recipe, **{key: _current(kind, recipe[key], names, notes) for key, kind, names in kinds if key in recipe}}


def _current(kind: str, name: Any, names: Mapping[str, str], notes: list[str]) -> Any:  # noqa: ANN401 - any YAML
    """The name that something has now, with a note if it is given by its old one."""
    if not isinstance(name, str) or name not in names:
        return name
    notes.append(note(kind, name, names[name]))
    return names[name]
