"""No key is written anywhere, however servers send it back: store, log, configuration, exports, page, terminal."""

import json
import re
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.cli.commands import clairgen
from tests.cli.test_commands import prepared
from tests.inference.test_redaction import KEY, SPELLINGS
from tests.runs import REVISER, TARGET, played
from tests.scripted import Reply, ScriptedEndpoint, refused, said

OTHER_KEY = "gateway/Secret+0123456789"


def echoing(request: dict[str, Any]) -> Reply:
    """Answers and errors that contain the key in one spelling after the other; the first half of the requests is refused."""
    number = sum(map(ord, json.dumps(request["messages"])))
    spelled = list(SPELLINGS.values())[number % len(SPELLINGS)]
    quoted = f"you sent {spelled(KEY)} and {spelled(OTHER_KEY)}"
    if request["model"] == TARGET:
        return said(f"Well, {quoted} is what the headers of this request contained", id=quoted, finish_reason="stop")
    if request["model"] == REVISER:
        reply = played(request)
        return Reply(reply.body.replace(b"weak", json.dumps(quoted)[1:-1].encode()), headers=reply.headers)
    kinds = [
        refused(400, f"context length exceeded: {quoted}"),
        Reply(quoted.encode(), 400),
        Reply(quoted.encode("utf-16"), 413, {"content-type": f"text/{spelled(KEY)}"}),
        Reply(
            quoted.encode(), 200, {"content-type": "text/html; key=" + spelled(KEY).encode("ascii", "ignore").decode()}
        ),
        Reply(f"{'.' * 1195}{KEY}".encode(), 400),
        Reply(f"{'.' * 290}{KEY}".encode(), 400),
        said(None, message={"role": "assistant", "content": None, "refusal": quoted}),
        said("", finish_reason=f"odd {quoted}"),
    ]
    return kinds[number % len(kinds)]


@pytest.mark.slow
async def test_a_key_that_servers_send_back_in_every_way_is_written_nowhere(tmp_path: Path) -> None:
    keys = {"FIRST_KEY": KEY, "OTHER_KEY": OTHER_KEY}
    async with ScriptedEndpoint(echoing) as endpoint:
        role = {"api_key_env": "FIRST_KEY", "headers": {"x-gateway-key": "${OTHER_KEY}"}, "patience_seconds": 0}
        config, run = await prepared(tmp_path, endpoint.url, count=48, target=role, reviser=role, stronger=role)
        shown = [
            await clairgen("generate", config, "--run", run, "--log-texts", environment=keys),
            await clairgen("status", run),
            await clairgen("show", run),
            await clairgen("report", run, "--html", tmp_path / "page.html"),
            await clairgen("export", run, tmp_path / "exported"),
        ]
        assert endpoint.headers["authorization"] == f"Bearer {KEY}"
    terminal = "".join(f"{done.out}\n{done.err}\n" for done in shown)
    assert re.search(r"^clair +48 +48 ", terminal, re.MULTILINE)
    written = [terminal, *texts_in(tmp_path)]
    for text in written:
        assert_no_key(text)
    assert any("[key]" in text for text in written)


def assert_no_key(text: str) -> None:
    for key in (KEY, OTHER_KEY):
        for spelling, spelled in SPELLINGS.items():
            at = text.find(spelled(key[:14]).strip('".'))
            assert at < 0, (spelling, text[max(0, at - 100) : at + 100])


def texts_in(folder: Path) -> Iterator[str]:
    """All that was written in a folder: files as they are, and what is compressed in databases and data sets."""
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.read_bytes().decode("utf-8", "replace")
        if path.suffix == ".parquet":
            yield json.dumps(pq.read_table(path).to_pylist(), default=str, ensure_ascii=False)
        if path.suffix == ".db":
            with sqlite3.connect(path) as database:
                for [table] in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                    for row in database.execute(f'SELECT * FROM "{table}"'):  # noqa: S608 - a table of this file
                        yield from (readable(value) for value in row)
            database.close()


def readable(value: object) -> str:
    if isinstance(value, bytes):
        try:
            return zlib.decompress(value).decode()
        except zlib.error:
            return value.decode("utf-8", "replace")
    return str(value)
