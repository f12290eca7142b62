"""What the operator allows to whoever submits something over HTTP: by default what ships and what lies in the folder."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from clairgen.config.field_checks import is_variable_name
from clairgen.config.strict_yaml import require_bounded
from clairgen.embedded.gguf import CLASSIFIER, EmbeddedAddress, embedded_address
from clairgen.errors import ConfigError
from clairgen.import_source import HUB
from clairgen.patterns import lazy_pattern
from clairgen.service.allowed_endpoints import OPTION, AllowedEndpoint, allowed_endpoint, bracketed, plain_address
from clairgen.service.runs_root import UPLOADS, NotPermittedError, RunsRoot, shown

MOST_SLOTS: Final = 64
"""Requests at once of an engine on this machine; its memory grows with them."""
_MOST_CONTEXT: Final = 32_768
NAMING: Final = ("README.md", ".huggingface.yaml", "state.json", "dataset_dict.json")
"""Files of a folder of data that say where its rows are."""
_CARD: Final = lazy_pattern(r"\s*---(?:\r\n|\r|\n)(?P<content>.*?)(?:\r\n|\r|\n)---[ \t]*(?:\r\n|\n|$)", re.DOTALL)
_PATHS: Final = ("data_files", "data_dir")
_SCHEME: Final = lazy_pattern(r"[A-Za-z][A-Za-z0-9+.-]*:")
"""How a path begins that does not count from the folder, also one without slashes, such as `file:x`."""
_HUB_NAME: Final = lazy_pattern(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}/[A-Za-z0-9_][A-Za-z0-9._-]{0,95}")


@dataclass(frozen=True, slots=True)
class Policy:
    """The folder, the environment variables, the addresses, and whether the Hugging Face hub may be named.

    `coming` are folders that jobs write which are not over: they may be named before they are there.
    `what` names in errors where a value stands. All methods raise NotPermittedError, whose sentence names the option that would
    allow it.
    """

    root: RunsRoot
    environment: frozenset[str] = frozenset()
    endpoints: tuple[AllowedEndpoint, ...] = ()
    hub: bool = False
    coming: frozenset[str] = frozenset()

    def is_coming(self, name: str) -> bool:
        """Whether a run, or a folder such as `exports/first`, is not there yet and a job will make it."""
        if name not in self.coming:
            return False
        return not (self.root.path / name).is_dir() if "/" in name else self.root.run(name) is None

    @property
    def is_open(self) -> bool:
        """Whether something may be named that is neither in the folder nor ships: what may cost money or leave the machine."""
        return bool(self.environment or self.endpoints or self.hub)

    def surroundings(self, variables: Mapping[str, str]) -> dict[str, str]:
        """The environment of a process that does what was submitted: libraries load nothing from the hub if it is not allowed."""
        return {**variables, **({} if self.hub else {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"})}

    def check_variable(self, name: str, what: str) -> None:
        """Refuse an environment variable that is not listed, whether it is set or not."""
        if name not in self.environment:
            raise NotPermittedError(
                f"{what}: the service reads no environment variable {shown(name)} for what is submitted to it; its operator can "
                f"allow that with --allow-env {name if name.isidentifier() else 'NAME'}"
            )

    def endpoint(self, url: str, what: str) -> str:
        """An endpoint of a model, with the path of its file resolved."""
        if url.startswith(CLASSIFIER):
            return f"{CLASSIFIER}{self.model(url.removeprefix(CLASSIFIER), what)}"
        if url.startswith("classroom:"):
            self._check_size(embedded_address(url), what)
            return url
        if url.startswith("gguf:"):
            text, mark, options = url.removeprefix("gguf:").partition("?")
            path = self.root.file(text, what)
            if path.is_relative_to((self.root.path / UPLOADS).resolve()):
                raise NotPermittedError(f"{what}: {shown(text)} was uploaded, and only rows are taken in, no models")
            if "?" in str(path):
                raise NotPermittedError(f"{what}: the path of {shown(text)} has a ? in it; rename it")
            served = f"gguf:{path}{mark}{options}"
            self._check_size(embedded_address(served), what)
            return served
        self._check_url(url, what)
        return url

    def hub_name(self, name: str, what: str) -> str:
        """A data set or model of the hub, as owner/name."""
        if not self.hub:
            raise NotPermittedError(
                f"{what}: the service takes nothing from the hub; its operator can allow that with --allow-hub"
            )
        # What exists as a path is read from there and not from the hub.
        if not _HUB_NAME.fullmatch(name) or Path(name).exists():
            raise NotPermittedError(f"{what}: {shown(name)} is not the name of something on the hub; write owner/name")
        return name

    def source(self, text: str, what: str = "the source") -> str:
        """Rows to read: a file or a folder, or a data set of the hub, as hub:owner/name."""
        if text.startswith(HUB):
            return f"{HUB}{self.hub_name(text.removeprefix(HUB), what)}"
        if self.is_coming(text):
            return str((self.root.path / text).resolve())
        if not self.root.holds_folder(text, what):
            return str(self.root.file(text, what))
        folder = self.root.folder(text, what)
        if (name := _named_elsewhere(folder)) is not None:
            raise NotPermittedError(
                f"{what}: {shown(text)} takes its rows from {shown(name)}, which is not a file in it"
            )
        return str(folder)

    def model(self, text: str, what: str = "the model") -> str:
        """Weights to load: a folder, or a model of the hub, as owner/name."""
        if self.root.holds_folder(text, what) or not _HUB_NAME.fullmatch(text):
            return str(self.root.folder(text, what))
        return self.hub_name(text, what)

    def _check_url(self, url: str, what: str) -> None:
        try:
            address = plain_address(url)
        except ValueError as error:
            raise NotPermittedError(f"{what}: no request is sent to {shown(url)}: {error}") from error
        if any(one.covers(address) for one in self.endpoints):
            return
        inside = ", which is this machine or in its network" if address.is_internal else ""
        raise NotPermittedError(
            f"{what}: the service sends no requests to {shown(url)}{inside}; its operator can allow that with "
            f"{OPTION} {address.scheme}://{bracketed(address.host)}:{address.port}"
        )

    def _check_size(self, address: EmbeddedAddress, what: str) -> None:
        limits = (
            ("context", address.context, _MOST_CONTEXT),
            ("slots", address.slots, MOST_SLOTS),
            ("threads", address.threads, os.cpu_count() or 1),
        )
        for name, given, most in limits:
            if given is not None and given > most:
                raise NotPermittedError(f"{what}: an engine of the service has at most {most:,} {name}, not {given:,}")


def _named_elsewhere(folder: Path) -> str | None:
    """The first file that a data set's own files name outside its folder, which `datasets` would read all the same."""
    try:
        for path in sorted(one for name in NAMING for one in folder.rglob(name)):
            content = path.read_bytes().decode("utf-8-sig")
            is_card = path.suffix == ".md"
            if is_card:
                card = _CARD.match(content)
                content = "" if card is None else card["content"]
            require_bounded(content, str(path))
            named = yaml.safe_load(content)
            for text, is_path in _texts(named.get("configs") if is_card and isinstance(named, Mapping) else named):
                if ".." in text or "://" in text or text.startswith(("/", "~", "\\")):
                    return text
                if is_path and ("::" in text or _SCHEME.match(text)):
                    return text
    except (OSError, ValueError, IndexError, RecursionError, yaml.YAMLError, ConfigError):
        return path.name
    return None


def _texts(content: object, *, is_path: bool = False) -> Iterator[tuple[str, bool]]:
    """All texts in it, and whether each names files."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            yield from _texts(value, is_path=is_path or key in _PATHS)
    elif isinstance(content, list):
        for value in content:
            yield from _texts(value, is_path=is_path)
    elif isinstance(content, str):
        yield content, is_path


def policy_of(root: RunsRoot, environment: Iterable[str], endpoints: Iterable[str], *, hub: bool) -> Policy:
    """The policy by the values of --allow-env, --allow-endpoint and --allow-hub. Raises ConfigError."""
    for name in environment:
        if not is_variable_name(name):
            raise ConfigError(
                "--allow-env takes the name of an environment variable, such as OPENAI_API_KEY, and no key"
            )
    return Policy(root, frozenset(environment), tuple(map(allowed_endpoint, endpoints)), hub)
