"""What modules of the store hand to the writer."""

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol, TypeAlias

Statement: TypeAlias = tuple[str, Sequence[Any]]
"""SQL with its parameters."""


class Write(Protocol):
    """Commits statements together and returns when they are durable; see `clairgen.store.writer.Writer.write`."""

    def __call__(self, *statements: Statement) -> Awaitable[None]:
        """Raises StoreError."""
