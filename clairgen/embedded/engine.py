"""The child process that `server` starts: llama.cpp with its OpenAI-compatible server, until standard input ends."""

import argparse
import json
import os
import signal
from pathlib import Path
from urllib.parse import urlsplit

import xllamacpp

from clairgen.child_processes import end_with_parent

WARNINGS = 2


def main() -> None:
    """Serve the model named on the command line; the port is announced as one line of JSON on standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is for the parent, which may drain
    parent = end_with_parent()
    announcements = _private_stdout()
    server = xllamacpp.Server(_parameters(_arguments()))
    port = urlsplit(server.listening_address).port
    os.write(announcements, json.dumps({"port": port}).encode() + b"\n")
    os.close(announcements)
    parent.join()


def _private_stdout() -> int:
    """A descriptor that only we write to; what llama.cpp prints goes to standard error."""
    announcements = os.dup(1)
    os.dup2(2, 1)
    return announcements


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    for option in ("--context", "--slots", "--threads"):
        parser.add_argument(option, type=int, required=True)
    return parser.parse_args()


def _parameters(arguments: argparse.Namespace) -> xllamacpp.CommonParams:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(arguments.model)
    parameters.model_alias = {arguments.model.stem}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = (
        0  # the kernel picks a free one when the server binds it, so no other process can take it in between
    )
    parameters.n_parallel = arguments.slots
    parameters.n_ctx = arguments.context * arguments.slots  # llama.cpp divides it among the slots
    parameters.cpuparams.n_threads = arguments.threads
    parameters.cache_ram_mib = 0  # a cache of old prompts, 8 GiB by default; a task's prompt is seldom repeated
    parameters.verbosity = WARNINGS
    parameters.ui = False
    return parameters


if __name__ == "__main__":
    main()
