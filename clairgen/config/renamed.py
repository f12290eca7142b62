"""Words of an earlier version that are still read or written, and the words that replaced them.

An old word has the effect of the new one and leaves a note of one sentence; giving both is an error. Renamed keys of `--json`
stay beside the new ones for scripts that read them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from clairgen.errors import ConfigError
from clairgen.filters.registry import RENAMED as RENAMED_FILTERS


@dataclass(frozen=True, slots=True)
class Renamed:
    """Old names and their new ones: `keys` at the top of a configuration, `recipes` and `filters` anywhere."""

    keys: Mapping[str, str]
    recipes: Mapping[str, str]
    filters: Mapping[str, str]


RENAMED: Final = Renamed(keys={"tokeniser": "tokenizer"}, recipes={"worsened": "degraded"}, filters=RENAMED_FILTERS)


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
        found["recipes"] = [_recipe(recipe, renamed.recipes, notes) for recipe in recipes]
    return found, list(dict.fromkeys(notes))


def note(kind: str, old: str, new: str) -> str:
    """The sentence about an old name of a `kind` of thing, such as a filter."""
    return f"Note: the {kind} {old!r} is now called {new!r}; the old name is still read."


def current_recipe(name: str, tell: Callable[[str], None]) -> str:
    """The current name of a recipe that may be given by an old one; `tell` is given the sentence about an old one."""
    if (current := RENAMED.recipes.get(name, name)) != name:
        tell(note("recipe", name, current))
    return current


def with_former_names(content: Mapping[str, Any], former: Mapping[str, str]) -> dict[str, Any]:
    """`content` with each former key as a copy of its new one, and `deprecated`, which says so; `former` maps old to new."""
    return {**content, **{old: content[new] for old, new in former.items()}, "deprecated": deprecated(former)}


def deprecated(former: Mapping[str, str]) -> dict[str, str]:
    """For each former key a sentence that names the new one."""
    return {old: f"renamed to {new!r}; read that key instead" for old, new in former.items()}


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


def _recipe(recipe: Any, names: Mapping[str, str], notes: list[str]) -> Any:  # noqa: ANN401 - a name or a mapping
    name = recipe.get("name") if isinstance(recipe, Mapping) else recipe
    if not isinstance(name, str) or name not in names:
        return recipe
    notes.append(note("recipe", name, names[name]))
    return {**recipe, "name": names[name]} if isinstance(recipe, Mapping) else names[name]
