"""vLLM on the loopback: a process group of its own that can be killed, and that ends with the block that asked for it."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import time
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path
from typing import Self

from clairgen.errors import ConfigError, RetryableError
from clairgen.inference.runtime import open_transport
from clairgen.inference.transport import Timeouts

START_SECONDS = 300.0
_PROBE = Timeouts(connect=5, first_byte=5, total=5)
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
}


class VllmServer:
    """Serves the checkpoint in a folder under the name `model`, at the same `url` after every start; `options` are vLLM's own."""

    def __init__(self, python: Path, checkpoint: Path, model: str, log: Path, *options: str) -> None:
        for needed in (python, checkpoint / "config.json", checkpoint / "model.safetensors"):
            if not needed.is_file():
                raise ConfigError(
                    f"there is no {needed}; `make vllm` installs vLLM, and the model is part of the repository"
                )
        self._port = _free_port()
        self._root = f"http://127.0.0.1:{self._port}"
        self.url = f"{self._root}/v1"
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        self._process: Process | None = None
        # `vllm serve` wants a distribution that is called vllm, which the build for CPUs is not.
        self._command = [
            *(str(python), "-m", "vllm.entrypoints.openai.api_server", "--enforce-eager"),
            *(
                "--model",
                str(checkpoint),
                "--served-model-name",
                model,
                "--host",
                "127.0.0.1",
                "--port",
                str(self._port),
            ),
            *options,
        ]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.kill()

    async def start(self) -> float:
        """Seconds until it answers. Raises ConfigError, with vLLM's last words, if it does not."""
        began = time.monotonic()
        with self._log.open("ab") as log:
            self._process = process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | _ENVIRONMENT,
                start_new_session=True,
            )
        while await self.status("/health") != 200:
            if process.returncode is not None:
                raise ConfigError(f"vLLM ended while it started ({self._last_words()}); {self._log} has all of it")
            if time.monotonic() - began > START_SECONDS:
                raise ConfigError(f"vLLM did not start within {START_SECONDS:g} s; {self._log} may tell why")
            await asyncio.sleep(0.2)
        return time.monotonic() - began

    async def kill(self) -> None:
        """End all its processes at once: the server, its engine and the engine's worker."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()

    async def status(self, page: str) -> int | None:
        """The status of a page; None while there is no answer."""
        return found[0] if (found := await self._got(page)) else None

    async def page(self, page: str) -> str:
        """What a page says."""
        return found[1] if (found := await self._got(page)) else ""

    async def finished(self) -> dict[str, int]:
        """How many answers it has finished since its start, by the reason for which they ended."""
        lines = re.findall(
            r'^vllm:request_success_total\{.*finished_reason="(\w+)".*\} (\S+)$',
            await self.page("/metrics"),
            re.MULTILINE,
        )
        return {reason: int(float(count)) for reason, count in lines if float(count)}

    async def _got(self, page: str) -> tuple[int, str] | None:
        transport = open_transport()
        try:
            response = await transport.get(self._root + page, {}, _PROBE)
        except RetryableError:
            return None
        finally:
            await transport.close()
        return response.status, response.body.decode()

    def _last_words(self) -> str:
        lines = [line.strip() for line in self._log.read_text(encoding="utf-8", errors="replace").splitlines()]
        errors = [line for line in lines if re.match(r"(\(.*\) )?\w*(Error|Exception)\b", line)]
        return (errors or lines or ["it said nothing"])[-1][:300]


def _free_port() -> int:
    """A port that was free a moment ago; vLLM takes no port 0, and must come back at the same one."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
    return port
