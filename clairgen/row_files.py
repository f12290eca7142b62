"""What a file of rows has to be before it is read, its JSON lines, and how a value stands in a cell of CSV.

Each fault is one sentence, found in bounded time.
"""

import json
import math
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from clairgen.errors import InputError
from clairgen.patterns import lazy_pattern

_HEAD_BYTES: Final = 4096
_PACKED: Final = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
}
_PARQUET: Final = b"PAR1"
_BYTE_ORDER_MARKS: Final = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}

_MISREAD: Final = lazy_pattern(r"\s*[=+\-@＝＋－＠]|[\s\"]|(?i:nan|null|none|n/a|na|<na>|#n/a|#na)$")
"""How a text begins that a spreadsheet may run as a formula, and one that readers take for JSON text or for a missing value."""


def csv_cell(value: Any, *, written: bool = False) -> str | int | float | None:  # noqa: ANN401 - any JSON value
    """A value as a cell of CSV that no spreadsheet runs as a formula and from which the value can be read again.

    Lists are JSON text, and so are all texts that were `written` by a model. Another text is JSON text where it is empty,
    begins like a formula, with white space or with a quotation mark, or where readers take it for a missing value.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, str) and value and not written and not _MISREAD.match(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def text_of_csv_cell(cell: str) -> str:
    """The text of a cell that `csv_cell` wrote: what JSON text says where it begins with a quotation mark, else as it is."""
    try:
        text = json.loads(cell) if cell.startswith('"') else cell
    except ValueError:
        return cell
    return text if isinstance(text, str) else cell


def require_regular_file(path: Path, what: str) -> None:
    """Raise InputError for a pipe, a device or a folder; opening or reading those may never end.

    `what` names the file in the sentence. Raises FileNotFoundError, and OSError, like `Path.stat`.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise InputError(f"{what} {path} cannot be read: it is {kind}; name a file, which is read more than once")


def require_readable_rows(path: Path, what: str) -> None:
    """Raise InputError for a file of rows that is no regular file, is compressed, or is not UTF-8 by its first bytes.

    `what` names the file in the sentence. Raises FileNotFoundError, and OSError, like `open`.
    """
    require_regular_file(path, what)
    with path.open("rb") as content:
        head = content.read(_HEAD_BYTES)
    for magic, packing in _PACKED.items():
        if head.startswith(magic):
            raise InputError(f"{what} {path} is compressed ({packing}); unpack it and name the file that comes out")
    if path.suffix == ".parquet":
        return
    if head.startswith(_PARQUET):
        raise InputError(f"{what} {path} is a Parquet file; rename it so that it ends in .parquet")
    encoding = _other_encoding(head)
    if encoding is not None:
        raise InputError(
            f"{what} {path} is {encoding} text; convert it: iconv -f {encoding} -t UTF-8 {path.name} > "
            f"{path.stem}-utf8{path.suffix}"
        )
    if path.suffix == ".jsonl" and head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[":
        raise InputError(
            f"{what} {path} is one JSON array; write one object a line, for instance with: jq -c '.[]' {path.name}"
        )


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """The lines of a JSON Lines file that are not blank, by number from 1: the object, or why the line holds none."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                content = strict_json(line.decode("utf-8-sig"))
            except UnicodeDecodeError as error:
                yield number, not_utf8(error)
            except (json.JSONDecodeError, RecursionError) as error:
                torn = "" if line.endswith(b"\n") else "; the file ends within it, as if it had been cut off"
                yield number, f"it is not valid JSON ({error}){torn}"
            except ValueError as error:
                yield number, str(error)
            else:
                yield number, content if isinstance(content, dict) else "it is not a JSON object"


def strict_json(text: str | bytes) -> Any:  # noqa: ANN401 - any JSON value
    """The value of a JSON text. Raises ValueError, with the reason, also for what other readers pass over.

    That is a key that an object has twice, of which they keep the last, and the words NaN and Infinity, which JSON does not have.
    """
    words: list[str] = []

    def constant(word: str) -> float:
        words.append(word)
        return float(word)

    content = json.loads(text, object_pairs_hook=_object, parse_constant=constant)
    if words:
        raise ValueError(f"it has {words[0]}{_where_no_number(content)}, which is not JSON; write null")
    return content


def not_utf8(error: UnicodeDecodeError) -> str:
    """Why bytes are not text, and what to do."""
    return f"it is not UTF-8 text (byte 0x{error.object[error.start]:02x}); convert the file to UTF-8"


def _other_encoding(head: bytes) -> str | None:
    """The encoding that a byte order mark or zero bytes at every other position give away."""
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            return encoding
    pairs = len(head) // 2
    zeros = [head[start : 2 * pairs : 2].count(0) for start in (0, 1)]
    if pairs < 2 or max(zeros) < pairs * 0.6 or min(zeros) > pairs * 0.1:
        return None
    return "UTF-16BE" if zeros[0] > zeros[1] else "UTF-16LE"


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it has the key {twice[:80]!r} twice in one object; keep one")
    return content


def _where_no_number(content: Any, key: str = "") -> str:  # noqa: ANN401 - any JSON value
    """Under which key a number is none, as ` under 'key'`."""
    if isinstance(content, float) and not math.isfinite(content):
        return f" under {key[:80]!r}" if key else ""
    entries = (
        content.items()
        if isinstance(content, dict)
        else [(key, one) for one in content]
        if isinstance(content, list)
        else []
    )
    return next((found for name, value in entries if (found := _where_no_number(value, name))), "")
