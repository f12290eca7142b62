"""Keys taken out of what servers send back, in every spelling that a server may give them, before anything is kept or shown."""

import functools
import html.entities
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from clairgen.errors import RequestError

REDACTED: Final = "[key]"
_SHORTEST: Final = 8  # a shorter one is no secret but a word, such as EMPTY, which answers may contain
_NO_SECRETS: Final = frozenset({"lm-studio", "not-needed", "no-key-required", "sk-no-key-required", "placeholder"})
"""What is given as the key of servers that need none."""
_CUT_AFTER: Final = 12  # characters of a key that are recognised where the rest was cut off
_SPELLED_OUT: Final = 80  # of the rest of a longer one, such as a JSON web token, the usual characters are taken
_ESCAPE: Final = re.compile(rb"\\[^\\nrtbf\"]|[%&\0]")  # not those of any JSON
_NAMES: Final = {character: name for name, character in html.entities.html5.items() if len(character) == 1}


@dataclass(frozen=True, slots=True)
class Redaction:
    """Replaces keys by `[key]`: as they are, with escapes of JSON, URLs or HTML, as UTF-16, or with the end cut off."""

    _beginnings: tuple[str, ...]
    _spellings: re.Pattern[bytes]

    @classmethod
    def of(cls, keys: Iterable[str | None]) -> "Redaction":
        """The redaction of these keys; None stands for no key."""
        secrets = {key for key in keys if key is not None and len(key) >= _SHORTEST and key not in _NO_SECRETS}
        longest_first = tuple(sorted(secrets, key=lambda key: (-len(key), key)))
        return cls(tuple(key[:_CUT_AFTER] for key in longest_first), _spellings_of(longest_first))

    @property
    def is_empty(self) -> bool:
        """Whether there is no key to take out."""
        return not self._beginnings

    def body(self, body: bytes) -> bytes:
        """A body without the keys, before a part of it is quoted."""
        if self.is_empty:
            return body
        if _ESCAPE.search(body) is None and not any(beginning.encode() in body for beginning in self._beginnings):
            return body  # as nearly always, and much faster
        return self._spellings.sub(REDACTED.encode(), body)

    def text(self, text: str) -> str:
        """A text without the keys."""
        body = text.encode("utf-8", "surrogatepass")
        found = self.body(body)
        return text if found is body else found.decode("utf-8", "surrogatepass")

    def error(self, error: RequestError) -> None:
        """Take the keys out of what an error says."""
        error.detail = self.text(error.detail)
        error.args = tuple(self.text(part) if isinstance(part, str) else part for part in error.args)


@functools.cache
def _spellings_of(keys: tuple[str, ...]) -> re.Pattern[bytes]:
    return re.compile("|".join(map(_spelled, keys)).encode())


def _spelled(key: str) -> str:
    """A pattern of a key in all spellings; of a long one the end may be missing."""
    characters = [_character(character) for character in key[:_SPELLED_OUT]]
    end = "".join(f"(?:{one})?" for one in characters[_CUT_AFTER:])
    rest = r"[\w.~+/=-]*+" if len(key) > _SPELLED_OUT else ""
    return f"{''.join(characters[:_CUT_AFTER])}{end}{rest}"


def _character(character: str) -> str:
    """A pattern of one character of a key; escapes of escapes are bounded, so that the search takes linear time."""
    code = ord(character)
    either_case = "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in f"{code:02x}")
    spellings = [
        rf"\\{{0,8}}{re.escape(character)}",
        rf"\\{{1,8}}(?:u00|x){either_case}",
        rf"%(?:25){{0,3}}{either_case}",
        rf"&(?:amp;){{0,3}}#(?:0{{0,5}}{code}|[xX]0{{0,5}}{either_case});?",
    ]
    if (name := _NAMES.get(character)) is not None:
        spellings.append(f"&(?:amp;){{0,3}}{re.escape(name)}")
    return rf"(?:{'|'.join(spellings)})\x00{{0,3}}"
