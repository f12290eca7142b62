"""A server that a command starts: it is there while the block lasts, and is gone after it, whatever ends us."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from clairgen.errors import ConfigError
from clairgen.iteration.served_command import check_command, served_by
from tests.other_processes import has_ended, is_running

SERVER = """
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Models(BaseHTTPRequestHandler):
    def do_GET(self):
        body = " ".join(sys.argv[1:]).encode()
        self.send_response(200 if self.path == "/v1/models" else 404)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
print("pid", os.getpid(), flush=True)
HTTPServer(("127.0.0.1", int(sys.argv[1])), Models).serve_forever()
"""


def command(folder: Path) -> str:
    (folder / "server.py").write_text(SERVER)
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(folder / 'server.py'))} {{port}} {{model}} {{name}}"


@pytest.mark.process
def test_the_server_is_there_for_the_block_and_gone_after_it(tmp_path: Path) -> None:
    log = tmp_path / "serve.log"
    with served_by(command(tmp_path), model="a folder/model", name="mine", log=log) as url:
        answer = httpx.get(f"{url}/models").text
        pid = int(log.read_text().split()[1])
        assert is_running(pid)
    assert answer.split(" ", 1)[1] == "a folder/model mine"
    assert has_ended(pid, 10)


@pytest.mark.process
def test_a_process_that_is_killed_leaves_no_server_behind(tmp_path: Path) -> None:
    log = tmp_path / "serve.log"
    code = (
        "import sys, time; from pathlib import Path; from clairgen.iteration.served_command import served_by\n"
        "with served_by(sys.argv[1], model='m', name='n', log=Path(sys.argv[2])): print('up', flush=True); time.sleep(60)"
    )
    arguments = [sys.executable, "-c", code, command(tmp_path), str(log)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"up\n"
        pid = int(log.read_text().split()[1])
        os.kill(holder.pid, signal.SIGKILL)
    assert has_ended(pid, 10)


@pytest.mark.process
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("sh -c 'echo no GPU; exit 1' {model} {port}", "no GPU"),
        (
            "sh -c 'echo \"ERROR [core.py:7] ValueError: no kernel\"; echo bye; exit 1' {model} {port}",
            "ValueError: no kernel",
        ),
        ("no-such-program {model} {port}", "no-such-program cannot be started: No such file or directory"),
    ],
)
def test_a_command_that_ends_at_once_is_refused_with_what_it_said_last(tmp_path: Path, words: str, said: str) -> None:
    with (
        pytest.raises(ConfigError, match=f"ended before it served the model: {said}"),
        served_by(words, model="m", name="n", log=tmp_path / "log"),
    ):
        pass


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("vllm serve {model}", r"does not say where the port goes; write \{port\} there, as in: vllm serve \{model\}"),
        ("vllm serve --port {port}", "does not say where the model goes"),
        ("vllm {model} {port} {gpu}", r"--serve has \{gpu\}; it may have \{model\}, \{port\} and \{name\}"),
        ("vllm {model} {port} 'open", "cannot be read as a command: No closing quotation"),
        ("vllm {model} {port} {", "cannot be read as a command"),
    ],
)
def test_a_command_without_its_places_is_refused(words: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_command(words)
