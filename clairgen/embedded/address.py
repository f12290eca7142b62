"""Addresses of models that clairgen serves itself.

`gguf:path/to/model.gguf?context=4096&slots=8&threads=2` is a file of the user's; `classroom:student`, `:weaker`, `:stronger`
and `:teacher` are the small models that ship with clairgen.
"""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from urllib.parse import parse_qsl

from clairgen.embedded.gguf import require_gguf
from clairgen.errors import ConfigError

CLASSROOM = ("student", "weaker", "stronger", "teacher")
_OPTIONS = ("context", "slots", "threads")


@dataclass(frozen=True, slots=True)
class EmbeddedAddress:
    """A model file and how to serve it; what is None is decided when the engine starts.

    `context` is tokens per slot, prompt and answer together, which llama.cpp rounds up to a multiple of 256; `slots` is how many
    answers are written at once; `threads` counts CPU threads.
    """

    path: Path
    context: int | None = None
    slots: int | None = None
    threads: int | None = None


def is_embedded(endpoint: str) -> bool:
    """Whether an endpoint string names a model that clairgen serves itself, rather than a URL."""
    return endpoint.startswith(("gguf:", "classroom:"))


def embedded_address(endpoint: str) -> EmbeddedAddress:
    """The address in an endpoint string. Raises ConfigError if it is misspelled, or its file is missing or not a GGUF file."""
    scheme, _, rest = endpoint.partition(":")
    name, _, query = rest.partition("?")
    if scheme == "classroom":
        path = _classroom_model(name)
    elif scheme == "gguf" and name:
        path = Path(name).expanduser().resolve()
        require_gguf(path)
    else:
        raise ConfigError(f"{endpoint!r} names no model; write gguf:path/to/model.gguf or classroom:student.")
    return EmbeddedAddress(path, **_options(endpoint, query))


def _classroom_model(name: str) -> Path:
    if name not in CLASSROOM:
        names = " or ".join(f"classroom:{known}" for known in CLASSROOM)
        raise ConfigError(f"There is no model classroom:{name}; write {names}.")
    path = Path(str(resources.files("clairgen.data.classroom"))) / name / "model.gguf"
    if not path.is_file():
        raise ConfigError(
            f"The model classroom:{name} is not part of this installation of clairgen; reinstall clairgen."
        )
    return path


def _options(endpoint: str, query: str) -> dict[str, int]:
    options: dict[str, int] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in _OPTIONS:
            raise ConfigError(f"Unknown option {key!r} in {endpoint!r}; the options are context, slots and threads.")
        if not (value.isascii() and value.isdecimal() and int(value) > 0):
            raise ConfigError(f"The option {key} in {endpoint!r} must be a whole number above 0.")
        options[key] = int(value)
    return options
