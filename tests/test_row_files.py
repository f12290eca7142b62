"""What is no file of rows in UTF-8 is refused in one sentence, before a byte of a pipe is waited for."""

import gzip
import os
from pathlib import Path

import pytest

from clairgen.errors import InputError
from clairgen.row_files import json_lines, require_readable_rows

LINES = '{"prompt": "one"}\n{"prompt": "caf\u00e9"}\n'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(LINES.encode(), mtime=0), r"compressed \(gzip\); unpack it"),
        (b"PK\x03\x04 and so on", r"compressed \(zip\)"),
        (b"\x28\xb5\x2f\xfd and so on", r"compressed \(zstd\)"),
        (b"PAR1 and so on", "Parquet file; rename it"),
        (LINES.encode("utf-16"), "is UTF-16 text; convert it: iconv -f UTF-16 -t UTF-8 rows.jsonl"),
        (LINES.encode("utf-16-le"), "is UTF-16LE text"),
        (LINES.encode("utf-16-be"), "is UTF-16BE text"),
        (LINES.encode("utf-32"), "is UTF-32 text"),
        (b'[\n{"prompt": "one"}\n]', "one JSON array; write one object a line"),
        (b'\xef\xbb\xbf[{"prompt": "one"}]', "one JSON array"),
    ],
)
def test_another_form_is_named_with_the_way_out(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "rows.jsonl").write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        require_readable_rows(tmp_path / "rows.jsonl", "the file of tasks")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", LINES, "\ufeff" + LINES, '{"prompt": "nul\\u0000"}\n', "\u4e2d" * 3000])
def test_utf8_is_taken_with_or_without_a_mark(tmp_path: Path, content: str) -> None:
    (tmp_path / "rows.jsonl").write_text(content, encoding="utf-8")
    require_readable_rows(tmp_path / "rows.jsonl", "the file of tasks")


def test_pipes_devices_and_folders_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "zero.jsonl").symlink_to("/dev/zero")
    (tmp_path / "folder.jsonl").mkdir()
    for name, kind in (("pipe", "a pipe or a device"), ("zero", "a pipe or a device"), ("folder", "a folder")):
        with pytest.raises(InputError, match=f"cannot be read: it is {kind}"):
            require_readable_rows(tmp_path / f"{name}.jsonl", "the file of tasks")


def test_lines_that_hold_no_object_are_told_from_those_that_do(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes(b'\xef\xbb\xbf{"a": 1}\n\n[1]\n{"a": "caf\xe9"}\n{"a": 2}\n{"a": ')
    found = dict(json_lines(rows))
    assert (found[1], found[5]) == ({"a": 1}, {"a": 2})
    assert found[3] == "it is not a JSON object"
    assert found[4] == "it is not UTF-8 text (byte 0xe9); convert the file to UTF-8"
    assert str(found[6]).startswith("it is not valid JSON (")
    assert str(found[6]).endswith("; the file ends within it, as if it had been cut off")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"prompt": "a", "id": 1, "prompt": "b"}', "it has the key 'prompt' twice in one object; keep one"),
        ('{"messages": [{"role": "user", "role": "system", "content": "a"}]}', "it has the key 'role' twice"),
        ('{"prompt": "a", "score": NaN}', "it has NaN under 'score', which is not JSON; write null"),
        ('{"prompt": "a", "scores": [1, -Infinity]}', "it has -Infinity under 'scores', which is not JSON; write null"),
    ],
)
def test_a_line_that_readers_would_read_differently_is_none(tmp_path: Path, line: str, why: str) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(f'{{"prompt": "first"}}\n{line}\n', encoding="utf-8")
    found = dict(json_lines(rows))
    assert found[1] == {"prompt": "first"}
    assert isinstance(found[2], str)
    assert found[2].startswith(why)
