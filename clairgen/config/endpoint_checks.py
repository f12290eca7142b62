"""Where a model is served: endpoints that requests can be sent to, and the headers that go with them; neither holds a secret."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from clairgen.config.field_checks import contains_key, is_variable_name
from clairgen.patterns import lazy_pattern

FILE_SCHEME: Final = "file:"
"""How the address of a folder begins in which batches are files that somebody else answers."""
REGISTERED: Final = "registered"
"""In place of an address: the servers that registered with a coordinator, or, as `registered:FOLDER`, in a folder."""
_NO_URLS: Final = ("gguf:", "classroom:", "classifier:", FILE_SCHEME)
_QUERY: Final = "api-version"  # Azure's; nothing else is known to belong into a base URL, and a key must not
_HEADER_NAME: Final = lazy_pattern(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OWN_HEADERS: Final = {"accept", "connection", "content-length", "content-type", "host", "transfer-encoding"}
_SECRET_HEADER: Final = lazy_pattern(r"auth|cookie|key|password|secret|token", re.IGNORECASE)
_VARIABLE: Final = lazy_pattern(r"\$\{(\w+)\}")


def check_endpoint(endpoint: str) -> None:
    """Raise ValueError for what is no endpoint, that no request can be sent to, or that contains a secret."""
    if not endpoint.startswith(_NO_URLS) and not is_registered(endpoint) and _has_user_info(endpoint):
        raise ValueError(
            "an endpoint must not hold a user name or password (an @); name the key's variable in api_key_env"
        )
    if not endpoint.startswith(("http://", "https://", *_NO_URLS)) and not is_registered(endpoint):
        raise ValueError(
            f"{endpoint!r} is not an endpoint: give a base URL such as http://localhost:8000/v1, "
            "gguf:PATH for a file that clairgen serves, or classroom:student"
        )
    if endpoint.startswith(("http://", "https://")):
        _check_url(endpoint)


def checked_server(url: str) -> str:
    """The base URL of a server that announces itself. Raises ValueError for what no request is ever sent to."""
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url!r} is not a base URL, such as http://node1:8000/v1")
    check_endpoint(url)
    return url


def is_registered(endpoint: str) -> bool:
    """Whether an endpoint stands for servers that register."""
    return endpoint == REGISTERED or endpoint.startswith(f"{REGISTERED}:")


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise ValueError for headers that cannot be sent, that clairgen sets, or that hold a secret."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not (value.isascii() and value.isprintable()):
            raise ValueError(f"{name!r} is not a header that can be sent: use letters, digits and - in its name")
        if name.lower() in _OWN_HEADERS:
            raise ValueError(f"the header {name!r} is set by clairgen; leave it out")
        named = _VARIABLE.findall(value)
        if contains_key(value) or not all(map(is_variable_name, named)) or (_SECRET_HEADER.search(name) and not named):
            raise ValueError(
                f"the header {name!r} holds a secret, which must not stand in a file; "
                "export it and write ${NAME} with the variable's name"
            )


def variables_in(headers: Mapping[str, str]) -> list[str]:
    """The environment variables that headers name."""
    return [name for value in headers.values() for name in _VARIABLE.findall(value)]


def headers_with(headers: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """Headers with the values of their variables, which must all be there."""
    return {name: _VARIABLE.sub(lambda found: variables[found.group(1)], value) for name, value in headers.items()}


def _has_user_info(url: str) -> bool:
    """Whether a URL may hold a user name or a password, in whatever spelling: an @, percent-encoded or of another width."""
    for _ in range(3):
        url = unquote(unicodedata.normalize("NFKC", url))
    return "@" in url


def _check_url(endpoint: str) -> None:
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
