"""Addresses that a submitted configuration may have requests sent to: those that the operator listed, and no others.

Two parsers can read one URL differently, and what was checked would not be what is requested. So only addresses that leave no
room for that are taken: a host in plain ASCII or an IP address as it is usually written, and a path without escapes and dots.
"""

import ipaddress
from dataclasses import dataclass
from typing import Final

from clairgen.errors import ConfigError
from clairgen.patterns import lazy_pattern

OPTION: Final = "--allow-endpoint"
_PORTS: Final = {"http": 80, "https": 443}
_ADDRESS: Final = lazy_pattern(
    r"(?:(?P<scheme>https?)://)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?)"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(?:/[A-Za-z0-9_~:.-]+)*)/?"
    r"(?:\?api-version=[A-Za-z0-9.-]+)?"
)
_NUMERIC: Final = lazy_pattern(r"[0-9]+|0[xX][0-9A-Fa-f]*")


@dataclass(frozen=True, slots=True)
class Address:
    """A base URL taken apart: the host in lower case, or an IP address in its usual form; `path` by its segments."""

    scheme: str
    host: str
    port: int
    path: tuple[str, ...]

    @property
    def is_internal(self) -> bool:
        """Whether the host is, by its look, this machine or one of a private network, as metadata services are."""
        try:
            return not ipaddress.ip_address(self.host).is_global
        except ValueError:
            return "." not in self.host or self.host.endswith((".localhost", ".internal", ".local"))


@dataclass(frozen=True, slots=True)
class AllowedEndpoint:
    """A scheme (None: http and https), host and port of which every path is allowed that begins with `path`."""

    scheme: str | None
    host: str
    port: int
    path: tuple[str, ...] = ()

    def covers(self, address: Address) -> bool:
        """Whether requests may be sent there."""
        return (
            self.scheme in (None, address.scheme)
            and (self.host, self.port) == (address.host, address.port)
            and address.path[: len(self.path)] == self.path
        )


def allowed_endpoint(text: str) -> AllowedEndpoint:
    """What a value of --allow-endpoint allows: a base URL, or HOST:PORT for both schemes. Raises ConfigError."""
    found = _ADDRESS.fullmatch(text)
    try:
        if found is None or "?" in text or (found["scheme"] is None and found["port"] is None):
            raise ValueError("give a base URL such as https://api.example.com/v1, or HOST:PORT")
        host, path = _host(found["host"]), _segments(found["path"])
        scheme = found["scheme"]
        return AllowedEndpoint(scheme, host, _port(found["port"], scheme), path)
    except ValueError as error:
        raise ConfigError(f"{OPTION} {text!r}: {error}") from error


def bracketed(host: str) -> str:
    """A host as URLs have it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def plain_address(url: str) -> Address:
    """The parts of a base URL. Raises ValueError for one that could be read in two ways."""
    found = _ADDRESS.fullmatch(url)
    if found is None or found["scheme"] is None:
        raise ValueError(
            "it is not written plainly: a host in ASCII, a path of letters and digits, and nothing escaped"
        )
    return Address(
        found["scheme"], _host(found["host"]), _port(found["port"], found["scheme"]), _segments(found["path"])
    )


def _host(text: str) -> str:
    if text.startswith("["):
        six = ipaddress.IPv6Address(text[1:-1])
        return str(six.ipv4_mapped or six)
    labels = text.lower().split(".")
    if not all(labels):
        raise ValueError(f"the host {text!r} has an empty part")
    if _NUMERIC.fullmatch(labels[-1]):  # clients read 2130706433, 0x7f.1 and 127.1 as addresses too
        return str(ipaddress.IPv4Address(text))
    return ".".join(labels)


def _port(text: str | None, scheme: str | None) -> int:
    port = _PORTS[scheme or "https"] if text is None else int(text)
    if not 0 < port < 65536:
        raise ValueError(f"{port} is not a port")
    return port


def _segments(path: str) -> tuple[str, ...]:
    segments = tuple(path.split("/")[1:])
    if any(set(segment) == {"."} for segment in segments):
        raise ValueError("the path has a part of dots alone")
    return segments
