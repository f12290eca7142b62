"""Rendering and writing of every HTML page: untrusted text stays text and never becomes markup, style or script.

Jinja escapes every value, after `plain_text` has made hidden and reordering characters visible. A Content-Security-Policy
allows the page's own script and style by their hashes and nothing else: no network, no inline handlers, no images.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from importlib.resources import files
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from clairgen.errors import InputError
from clairgen.installed import __version__
from clairgen.reporting.sanitize import plain_line, plain_text

OWN_PACKAGE = __package__


def rendered(
    template: str,
    values: Mapping[str, object],
    *,
    package: str = OWN_PACKAGE,
    style: str,
    script: str = "",
    filters: Mapping[str, Callable[..., object]] | None = None,
) -> str:
    """A rendered template of `package`, which may extend `frame.html`; `style` and `script` are clairgen's own."""
    sources = {"style": style, "script": script}
    allowed = "; ".join(f"{kind}-src '{_hash(text)}'" for kind, text in sources.items() if text)
    return (
        templates(package, filters)
        .get_template(template)
        .render(
            {
                **values,
                "version": __version__,
                "style": Markup(style),  # noqa: S704 - clairgen's own
                "script": Markup(script),  # noqa: S704 - clairgen's own
                "policy": f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'",
            }
        )
    )


def templates(package: str = OWN_PACKAGE, filters: Mapping[str, Callable[..., object]] | None = None) -> Environment:
    """The templates of `package`, before those here of the same name; every value that they show is escaped."""
    loaders = [FunctionLoader(partial(_source, where)) for where in dict.fromkeys((package, OWN_PACKAGE))]
    environment = Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_without_hidden,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"line": plain_line, **(filters or {})}
    return environment


def write_html(path: Path, html: str) -> None:
    """Write a page to `path`. Raises InputError if that is not possible."""
    try:
        path.write_text(html, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"the page {path} cannot be written ({error}); name a file in a folder that exists") from error


def asset(name: str, package: str = OWN_PACKAGE) -> str:
    """The text of a file in a package."""
    return files(package).joinpath(name).read_text(encoding="utf-8")


def _source(package: str, name: str) -> str | None:
    try:
        return asset(name, package)
    except FileNotFoundError:
        return None


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _without_hidden(value: object) -> object:
    """Make hidden characters visible in every value, before Jinja escapes it."""
    return plain_text(value) if isinstance(value, str) and not isinstance(value, Markup) else value
