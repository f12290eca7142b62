"""Checks of single fields: base URLs that a request can be sent to, and secrets, which are refused without being printed.

Secrets are recognised by their look and by the names of fields.
A configuration is saved with its run and its parts go into logs and cards, so that a key in it would be published with the data.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from clairgen.patterns import lazy_pattern

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
_QUERY: Final = "api-version"  # Azure's; nothing else is known to belong into a base URL, and a key must not


def contains_key(text: str) -> bool:
    """Whether a text contains what looks like the API key of a known provider."""
    return _KEY.search(text) is not None


def is_variable_name(name: str) -> bool:
    """Whether a text can be the name of an environment variable, and does not look like a key that was pasted in its place."""
    return _VARIABLE.fullmatch(name) is not None and not contains_key(name) and not _is_random(name)


def has_user_info(url: str) -> bool:
    """Whether a URL may hold a user name or a password, in whatever spelling: an @, percent-encoded or of another width."""
    for _ in range(3):
        url = unquote(unicodedata.normalize("NFKC", url))
    return "@" in url


def secret_field(content: Mapping[str, Any]) -> str | None:
    """The name of a field, however deep, that holds a secret by its name or by the look of its value."""
    return next(_secret_fields(content, ""), None)


def check_url(endpoint: str) -> None:
    """Raise ValueError for a base URL that no request can be sent to, or that contains a secret."""
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{endpoint!r} is not a URL: {error}") from error
    if parts.fragment or set(parse_qs(parts.query, keep_blank_values=True)) - {_QUERY}:
        raise ValueError(
            "an endpoint is a base URL, without # and with no query but Azure's ?api-version=...; "
            "other fields of the request go into `extra`, keys into api_key_env or `headers`"
        )
    if not host or any(character.isspace() for character in endpoint):
        raise ValueError(f"{endpoint!r} has no host; give a base URL such as http://localhost:8000/v1")
    if (why := _transport_refuses(endpoint)) is not None:
        raise ValueError(f"no request can be sent to {endpoint!r}: {why}; check its host and port")


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


def _transport_refuses(url: str) -> str | None:
    """Why the transport that is installed cannot send to a URL, as far as its parser knows; see `open_transport`."""
    try:
        from pyreqwest.http import Url
    except ImportError:
        import httpx

        try:
            httpx.URL(url)
        except (ValueError, httpx.InvalidURL) as error:
            return str(error)
        return None
    try:
        Url(url)
    except ValueError as error:
        return str(error)
    return None
