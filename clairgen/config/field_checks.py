"""What every part of a configuration refuses: unknown keys, what is no text, and secrets, which are never printed.

Secrets are recognised by their look and by the names of fields.
A configuration is saved with its run and its parts go into logs and cards, so that a key in it would be published with the data.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from clairgen.conversations import is_encodable
from clairgen.patterns import lazy_pattern

Positive = Annotated[int, Field(gt=0)]
_KEY: Final = lazy_pattern(
    r"(?<![A-Za-z0-9])(?:"
    r"sk-(?:[a-z0-9]{1,10}-)*(?=[A-Za-z_]*[0-9])[A-Za-z0-9_]{16,}"
    r"|(?:pplx|nvapi|xai|csk)-(?=[A-Za-z_]*[0-9])[A-Za-z0-9_]{20,}"
    r"|(?:hf|gsk|r8|fw|gh[pousr]|tgp_v1|github_pat)_(?=[A-Za-z]*[0-9])[A-Za-z0-9]{20,}"
    r"|hf_[A-Za-z]{30,}"
    r"|AIza[A-Za-z0-9_-]{30,}"
    r"|A[KS]IA[A-Z0-9]{16}(?![A-Za-z0-9])"
    r"|eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"
    r")"
)
_VARIABLE: Final = lazy_pattern(r"[A-Za-z_][A-Za-z0-9_]*")
_FIELDS: Final = frozenset(
    {
        "accesstoken",
        "apikey",
        "authorization",
        "authtoken",
        "bearertoken",
        "clientsecret",
        "extraheaders",
        "headers",
        "password",
        "proxyauthorization",
        "secret",
        "xapikey",
    }
)
"""Names of fields that hold secrets, in lower case and without `-` and `_`."""
_SHORTEST_KEY = 24
_SHORTEST_WORD = 3  # letters or digits, on average, in a name that a person made up


class Strict(BaseModel):
    """A part of the configuration: unknown keys, infinite numbers and texts that cannot be written are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="after")
    @classmethod
    def _texts_can_be_written(cls, value: object) -> object:
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str | Path) and ("\0" in str(text) or not is_encodable(str(text))):
                raise ValueError("it contains a NUL character or half a surrogate pair, which is not text; remove it")
            if isinstance(text, str) and contains_key(text):
                raise ValueError(
                    "it contains what looks like an API key, which must not stand in a file; revoke the key if others saw it, "
                    "export a new one and name its variable in api_key_env"
                )
        return value


def contains_key(text: str) -> bool:
    """Whether a text contains what looks like the API key of a known provider."""
    return _KEY.search(text) is not None


def is_variable_name(name: str) -> bool:
    """Whether a text can be the name of an environment variable, and does not look like a key that was pasted in its place."""
    return _VARIABLE.fullmatch(name) is not None and not contains_key(name) and not _is_random(name)


def secret_field(content: Mapping[str, Any]) -> str | None:
    """The name of a field, however deep, that holds a secret by its name or by the look of its value."""
    return next(_secret_fields(content, ""), None)


def _secret_fields(content: Any, name: str) -> Iterator[str]:  # noqa: ANN401 - any JSON
    if isinstance(content, Mapping):
        for key, value in content.items():
            # A JSON schema may have a property called `password`, whose value is then a schema.
            is_secret = str(key).lower().replace("-", "").replace("_", "") in _FIELDS
            if is_secret and (isinstance(value, str) or not name):
                yield _shown(str(key))
            yield from _secret_fields(value, _shown(str(key)))
            if contains_key(str(key)):
                yield name or "a key of it"
    elif isinstance(content, list):
        for value in content:
            yield from _secret_fields(value, name)
    elif isinstance(content, str) and contains_key(content):
        yield name


def _shown(name: str) -> str:
    return "a field" if contains_key(name) else name[:40]


def _is_random(name: str) -> bool:
    """Whether a name is long and changes between letters, capitals and digits all the time, as keys do."""
    if len(name) < _SHORTEST_KEY or ("_" in name and name.isupper()):
        return False
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+", name)
    return len(words) * _SHORTEST_WORD > len(name.replace("_", ""))
