"""Models that clairgen serves itself: their addresses, and what is read from their GGUF files.

`gguf:path/to/model.gguf?context=4096&slots=8&threads=2` is a file of the user's; `classroom:student`, `:weaker`, `:stronger`
and `:teacher` are the small models that ship with clairgen.
"""

import hashlib
import os
import struct
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import BinaryIO
from urllib.parse import parse_qsl

from clairgen.errors import ConfigError
from clairgen.patterns import lazy_pattern

MAGIC = b"GGUF"
_SHARD = lazy_pattern(r"-\d{5}-of-(\d{5})\.gguf$")
_STRING, _ARRAY = 8, 9
_LONGEST_STRING = 1 << 28
_LAYOUTS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
CLASSIFIER = "classifier:"
"""How the address begins of a reward model on this machine: the folder, or the hub's name, of a sequence classifier."""
_OF_CLASSIFIERS = ("*.safetensors", "*.json", "*.jinja")
CLASSROOM = ("student", "weaker", "stronger", "teacher")
_OPTIONS = ("context", "slots", "threads")


def weights_revision(path: Path) -> str:
    """`sha256:` and the hash of the weights, all shards of a split model in order; it identifies them in content keys."""
    digest = hashlib.sha256()
    for shard in _shards(path):
        try:
            with shard.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError as exc:
            raise ConfigError(f"The model file {shard} cannot be read: {exc.strerror}.") from exc
    return f"sha256:{digest.hexdigest()}"


def classifier_revision(folder: Path) -> str:
    """The same for a sequence classifier: the hash of its weights, its configuration and its tokenizer."""
    digest = hashlib.sha256()
    try:
        for path in sorted(path for pattern in _OF_CLASSIFIERS for path in folder.glob(pattern)):
            digest.update(path.name.encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as exc:
        raise ConfigError(f"The reward model {folder} cannot be read: {exc.strerror}.") from exc
    return f"sha256:{digest.hexdigest()}"


def require_gguf(path: Path) -> None:
    """Raise ConfigError unless `path` is a file that begins like a GGUF file."""
    if not path.is_file():
        raise ConfigError(f"There is no model file {path}; check the path after gguf:.")
    try:
        with path.open("rb") as file:
            magic = file.read(len(MAGIC))
    except OSError as exc:
        raise ConfigError(f"The model file {path} cannot be read: {exc.strerror}.") from exc
    if magic != MAGIC:
        raise ConfigError(f"{path} is not a GGUF file; give a model in llama.cpp's format.")


def trained_context(path: Path) -> int | None:
    """The context in tokens that the model was trained with; None if its metadata does not say."""
    try:
        with path.open("rb") as file:
            _magic, _version, _tensors, entries = struct.unpack("<4sIQQ", file.read(24))
            for _ in range(entries):
                key, value = _string(file), _value(file, _unpacked(file, "<I"))
                if key.endswith(b".context_length") and isinstance(value, int):
                    return value
    except (struct.error, KeyError, OverflowError, OSError) as exc:
        raise ConfigError(f"The metadata of the model file {path} is damaged; fetch the file again.") from exc
    return None


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


def is_on_this_machine(endpoint: str) -> bool:
    """Whether an endpoint string names a model that answers or scores at no cost, rather than a URL."""
    return is_embedded(endpoint) or endpoint.startswith(CLASSIFIER)


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


def _shards(path: Path) -> list[Path]:
    """The files of a model that is split in llama.cpp's way, else the one file."""
    match = _SHARD.search(path.name)
    if match is None:
        return [path]
    stem, count = path.name[: match.start()], match[1]
    return [path.with_name(f"{stem}-{number:05d}-of-{count}.gguf") for number in range(1, int(count) + 1)]


def _value(file: BinaryIO, kind: int) -> int | float | bytes | None:
    """The value at the file's position; an array is skipped and read as None."""
    if kind == _STRING:
        return _string(file)
    if kind == _ARRAY:
        _skip_array(file)
        return None
    number: int | float = struct.unpack(_LAYOUTS[kind], file.read(struct.calcsize(_LAYOUTS[kind])))[0]
    return number


def _skip_array(file: BinaryIO) -> None:
    kind, length = _unpacked(file, "<I"), _unpacked(file, "<Q")
    if kind == _STRING:
        for _ in range(length):
            file.seek(_unpacked(file, "<Q"), os.SEEK_CUR)
    else:
        file.seek(length * struct.calcsize(_LAYOUTS[kind]), os.SEEK_CUR)


def _string(file: BinaryIO) -> bytes:
    length = _unpacked(file, "<Q")
    if length > _LONGEST_STRING:
        raise struct.error("a length that no metadata has")
    return file.read(length)


def _unpacked(file: BinaryIO, layout: str) -> int:
    number: int = struct.unpack(layout, file.read(struct.calcsize(layout)))[0]
    return number


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
