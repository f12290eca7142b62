"""Base URLs of endpoints, checked as the transport will read them, before anything is sent."""

from typing import Final
from urllib.parse import parse_qs, urlsplit

_QUERY: Final = "api-version"  # Azure's; nothing else is known to belong into a base URL, and a key must not


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
