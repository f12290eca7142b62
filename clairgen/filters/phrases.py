"""Phrases as patterns: words in angle brackets stand for lists of words, so that a pattern can be read."""

import re
from collections.abc import Mapping, Sequence

_PLACE = re.compile(r"<([a-z]+)>")


def phrase_pattern(templates: Sequence[str], lists: Mapping[str, str], flags: int = 0) -> re.Pattern[str]:
    """One pattern of all templates. `<name>` is any entry of `lists[name]`, whose entries are parted by commas.

    An entry may be a pattern, and may hold other lists. Round brackets in a template group and never capture.
    """

    def alternatives(match: re.Match[str]) -> str:
        return "(?:" + "|".join(filled(entry.strip()) for entry in lists[match[1]].split(",")) + ")"

    def filled(template: str) -> str:
        return _PLACE.sub(alternatives, template)

    # A bracket becomes one that does not capture, unless it was escaped or says itself what it is.
    whole = "|".join(filled(template) for template in templates)
    return re.compile(re.sub(r"(?<!\\)\((?!\?)", "(?:", whole), flags)
