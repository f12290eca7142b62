"""The registry of filters, in the order in which they look at a pair, and names that filters had before."""

from collections.abc import Mapping
from typing import Any

from clairgen.filters.contamination import CONTAMINATION
from clairgen.filters.empty import EMPTY
from clairgen.filters.filter import Filter
from clairgen.filters.format import FORMAT
from clairgen.filters.identical import IDENTICAL
from clairgen.filters.jaccard import JACCARD
from clairgen.filters.language import LANGUAGE
from clairgen.filters.length_difference import LENGTH_DIFFERENCE
from clairgen.filters.length_ratio import LENGTH_RATIO
from clairgen.filters.levenshtein import LEVENSHTEIN
from clairgen.filters.lost_answer import LOST_ANSWER
from clairgen.filters.markup import EMBEDDED_MARKUP, REMOVED_MARKUP, REMOVED_SPACE
from clairgen.filters.near_duplicate import NEAR_DUPLICATE
from clairgen.filters.refusal import REFUSAL
from clairgen.filters.revision_mention import REVISION_MENTION
from clairgen.filters.truncated import CUT_PROMPT, TRUNCATED
from clairgen.filters.unknown_finish_reason import UNKNOWN_FINISH_REASON
from clairgen.filters.votes import VOTES
from clairgen.plugins import Registry

FILTERS: Registry[Filter[Any]] = Registry(
    Filter,
    "clairgen.filters",
    (
        TRUNCATED,
        FORMAT,
        CUT_PROMPT,
        EMPTY,
        IDENTICAL,
        EMBEDDED_MARKUP,
        LENGTH_RATIO,
        LENGTH_DIFFERENCE,
        JACCARD,
        LEVENSHTEIN,
        REVISION_MENTION,
        LOST_ANSWER,
        REFUSAL,
        LANGUAGE,
        REMOVED_MARKUP,
        REMOVED_SPACE,
        UNKNOWN_FINISH_REASON,
        CONTAMINATION,
        VOTES,
        NEAR_DUPLICATE,
    ),
)
"""Every filter by its name. The first that drops a pair gives the reason that it is counted under.

`truncated` is first, since a reply that was cut off before its solution has no format for that reason. `near_duplicate` is
last, since only a pair that is kept can stand for a later one. Filters of plugins look after clairgen's own, and before those
that need the whole run.
"""

FILTERS_VERSION = 2
"""Raised with every change by which a filter of clairgen's own may find something else, so that it looks at all pairs again."""

RENAMED: Mapping[str, str] = {"allusion": "revision_mention"}
"""Old names of filters, which configurations, command lines and runs may still have, with the current ones."""


def current_name(name: str) -> str:
    """The current name of a filter that may be written with an old name, or with hyphens."""
    name = name.replace("-", "_")
    return RENAMED.get(name, name)
