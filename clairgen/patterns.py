"""Regular expressions that are compiled when they are first used: a command uses few of all, which take long to compile."""

import re
from collections.abc import Callable
from typing import Any, cast


def lazy_pattern(source: str | Callable[[], str], flags: int = 0) -> re.Pattern[str]:
    """A pattern, or what returns its source, compiled at its first use. Its methods are those of a compiled pattern."""
    return cast("re.Pattern[str]", _LazyPattern(source, flags))


class _LazyPattern:
    """Takes over the methods of the compiled pattern at the first use, so that later ones are as fast as the pattern's own."""

    def __init__(self, source: str | Callable[[], str], flags: int) -> None:
        self._source = source
        self._flags = flags

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the pattern has
        source = self._source if isinstance(self._source, str) else self._source()
        compiled = re.compile(source, self._flags)
        for method in ("search", "match", "fullmatch", "finditer", "findall", "sub", "split"):
            setattr(self, method, getattr(compiled, method))
        return getattr(compiled, name)
