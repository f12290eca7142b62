"""`kill -9` in the middle: what is sent again, and how soon the first new request goes out.

python -m tests.bench.restart

Two requests a task, 0.5 s an answer, 100 in flight over both roles. (For a million tasks:
`python -m tests.bench.scale --half-done`.)
"""

import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from clairgen.keys import seed_for
from tests.bench.harness import config_text, folder, served, write_tasks

IN_FLIGHT = 100


def main(requests: Annotated[int, typer.Option(help="Requests; two a task.")] = 3000) -> None:
    """Kill a run half-way, then let it end."""
    with served("--median", "0.5") as server, folder() as place:
        path = place / "config.yaml"
        tasks = write_tasks(place / "tasks.jsonl", requests // 2)
        path.write_text(config_text("stronger-preferred", tasks, server.url, concurrency=IN_FLIGHT // 2))
        command = [sys.executable, "-m", "clairgen", "generate", str(path), "--run", str(place / "run")]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while server.facts().get("asked", 0) < requests // 2:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        sent, committed = server.facts()["asked"], committed_seeds(place / "run")
        server.reset()
        start = time.time()
        code = subprocess.run(command, capture_output=True).returncode
        facts = server.facts()
        typer.echo(
            f"killed after {sent} requests, {len(committed)} of them committed; first new request {facts['first'] - start:.2f} s "
            f"after the restart; exit code {code}; {len(committed & server.seeds().keys())} committed requests were sent again, "
            f"{sent + facts['asked'] - requests} of {requests} were sent twice"
        )


def committed_seeds(run: Path) -> set[int]:
    """Seeds of the requests whose answers are on disk."""
    with sqlite3.connect(run / "run.db") as database:
        found = {seed_for(0, row[0]) for row in database.execute("SELECT key FROM completions")}
    database.close()
    return found


if __name__ == "__main__":
    typer.run(main)
