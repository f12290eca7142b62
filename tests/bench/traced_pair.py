"""Make one pair by `clairgen.generate` and write down, as JSON, which functions it goes through; run by `tests.bench.structure`.

python traced_pair.py CHECKOUT CONFIG RUN RESULT, with the checkout first on PYTHONPATH. It uses only what clairgen offers
as a library, so that it traces any layout of the source.
"""

import asyncio
import json
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import clairgen

_HTTP_LIBRARIES = ("pyreqwest", "httpx", "httpx2", "openai")
_SENDS = ("send", "post", "request", "stream", "build_request")


@dataclass(slots=True)
class Trace:
    """`files` are those of the package in which a function ran, imports apart; `path` is the longest from recipe to POST."""

    package: Path
    files: set[str] = field(default_factory=set)
    path: list[str] = field(default_factory=list)

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:  # noqa: ANN401 - as `sys.setprofile` calls it
        """Note a call; `argument` is the function of another language that is called, if it is one."""
        if event == "call":
            self._entered(frame)
            caller = frame.f_back
            if caller and self._is_ours(caller) and _sends(frame.f_globals.get("__name__"), frame.f_code.co_name):
                self._posted(caller)
        elif event == "c_call" and self._is_ours(frame):
            owner = getattr(argument, "__self__", None)
            if _sends(type(owner).__module__, getattr(argument, "__name__", "")):
                self._posted(frame)

    def _entered(self, frame: FrameType) -> None:
        name = frame.f_code.co_filename
        if name not in self.files and self._is_ours(frame) and not _while_importing(frame):
            self.files.add(name)

    def _posted(self, frame: FrameType | None) -> None:
        """The frames from the recipe's own, the nearest to the POST, down to this one, which posts."""
        path: list[str] = []
        while frame is not None and self._is_ours(frame):
            module = Path(frame.f_code.co_filename).relative_to(self.package)
            path.append(f"{module.as_posix()} {frame.f_code.co_qualname}")
            if module.parts[0] == "recipes":
                self.path = max(self.path, path[::-1], key=len)
                return
            frame = frame.f_back

    def _is_ours(self, frame: FrameType) -> bool:
        return frame.f_code.co_filename.startswith(f"{self.package}/")


def _sends(module: object, function: str) -> bool:
    return str(module).split(".")[0] in _HTTP_LIBRARIES and function in _SENDS


def _while_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def main(checkout: str, config: str, run: str, result: str) -> None:
    """Trace one session of `generate`."""
    package = Path(checkout).resolve() / "clairgen"
    if Path(clairgen.__file__).resolve() != package / "__init__.py":
        raise SystemExit(f"clairgen was imported from {clairgen.__file__}, not from {package}")
    trace = Trace(package)
    asyncio.run(_traced(trace, clairgen.load_config(Path(config)), Path(run)))
    files = sorted(Path(name).relative_to(package).as_posix() for name in trace.files)
    Path(result).write_text(json.dumps({"path": trace.path, "files": files}), encoding="utf-8")


async def _traced(trace: Trace, config: clairgen.RunConfig, run: Path) -> None:
    generate = clairgen.generate  # imported here, before the trace
    threading.setprofile(trace)
    sys.setprofile(trace)
    try:
        await generate(config, run)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


if __name__ == "__main__":
    main(*sys.argv[1:])
