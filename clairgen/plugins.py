"""Registries: recipes, filters and metrics by name, clairgen's own and those of plugins.

A plugin is an installed distribution with entry points in the groups `clairgen.recipes`, `clairgen.filters` or
`clairgen.metrics`. Finding it reads only its metadata; its code is imported when one of its names is first used.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache, cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, Protocol, TypeVar

from rapidfuzz import process

from clairgen.errors import ConfigError


class Named(Protocol):
    """What a registry holds."""

    @property
    def name(self) -> str:
        """The name that a configuration uses."""


Entry = TypeVar("Entry", bound=Named)


class Registry(Mapping[str, Entry], Generic[Entry]):
    """All of one kind by name: the built-in ones in their order, then those of plugins by name.

    Raises ConfigError, with the distribution's name, for a plugin that cannot be loaded, that registers something else, or
    whose name another one has.
    """

    def __init__(self, kind: type[Entry], group: str, built_in: Iterable[Entry]) -> None:
        self.kind = kind
        self.group = group
        self._built_in = {entry.name: entry for entry in built_in}
        self._added: dict[str, Entry] = {}
        self._loaded: dict[str, Entry] = {}

    @property
    def built_in(self) -> Mapping[str, Entry]:
        """Those that come with clairgen."""
        return self._built_in

    @property
    def from_plugins(self) -> dict[str, Entry]:
        """Those that do not, all loaded."""
        return {name: self[name] for name in self if name not in self._built_in}

    def add(self, entry: Entry) -> None:
        """Register an entry for this process alone, as a notebook or a script may; ConfigError if its name is taken."""
        if entry.name in self:
            raise ConfigError(f"there is already a {self._noun} {entry.name!r}; choose another name")
        self._added[entry.name] = entry

    def refresh(self) -> None:
        """Look for plugins again: for a process in which one was installed since the first look."""
        self._loaded.clear()
        self.__dict__.pop("_entry_points", None)
        _installed.cache_clear()

    def named(self, name: str) -> Entry:
        """The entry of this name; ConfigError, with the most similar name, if there is none."""
        if name in self:
            return self[name]
        near = process.extractOne(name, list(self), score_cutoff=60)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(self)}"
        raise ConfigError(f"there is no {self._noun} {name!r}; {hint}")

    def __getitem__(self, name: str) -> Entry:
        for known in (self._built_in, self._added, self._loaded):
            if name in known:
                return known[name]
        self._loaded[name] = self._load(self._entry_points[name])
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entry_points or name in self._built_in or name in self._added

    def __iter__(self) -> Iterator[str]:
        yield from self._built_in
        yield from sorted(self._added.keys() | self._entry_points.keys())

    def __len__(self) -> int:
        return len(list(iter(self)))

    @property
    def _noun(self) -> str:
        return self.kind.__name__.lower()

    @cached_property
    def _entry_points(self) -> dict[str, EntryPoint]:
        """The group's entry points by name; none of them is loaded."""
        found: dict[str, EntryPoint] = {}
        for point in _installed().select(group=self.group):
            if point.name in self._built_in:
                raise ConfigError(
                    f"{_source(point)} registers a {self._noun} {point.name!r}, which is the name of one of clairgen's own; "
                    "rename it or uninstall it"
                )
            if point.name in found:
                raise ConfigError(
                    f"{_source(found[point.name])} and {_source(point)} both register a {self._noun} {point.name!r}; rename "
                    "or uninstall one of them"
                )
            found[point.name] = point
        return found

    def _load(self, point: EntryPoint) -> Entry:
        here = f"{_source(point)}: the {self._noun} {point.name!r} ({point.value})"
        try:
            entry = point.load()
        except Exception as error:  # whatever the code of a plugin raises when it is imported
            raise ConfigError(
                f"{here} cannot be loaded ({type(error).__name__}: {error}); fix or uninstall the plugin"
            ) from error
        if not isinstance(entry, self.kind):
            kind = f"{self.kind.__module__}.{self.kind.__qualname__}"
            raise ConfigError(f"{here} is of type {type(entry).__qualname__}, but has to be a {kind}")
        if entry.name != point.name:
            raise ConfigError(f"{here} has the name {entry.name!r}; register it under that name")
        return entry


@cache
def _installed() -> Any:  # noqa: ANN401 - Python 3.11 has a type of its own here, with the same `select`
    """The entry points of all groups: reading the metadata of all distributions takes as long for one as for three."""
    return entry_points()


def _source(point: EntryPoint) -> str:
    return f"the plugin {point.dist.name} {point.dist.version}" if point.dist else "a plugin"
