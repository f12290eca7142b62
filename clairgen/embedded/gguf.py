"""What is read from a GGUF file: that it is one, the context that the model was trained with, and its hash."""

import hashlib
import os
import struct
from pathlib import Path
from typing import BinaryIO

from clairgen.errors import ConfigError
from clairgen.text import lazy_pattern

MAGIC = b"GGUF"
_SHARD = lazy_pattern(r"-\d{5}-of-(\d{5})\.gguf$")
_STRING, _ARRAY = 8, 9
_LONGEST_STRING = 1 << 28
_LAYOUTS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}


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
