"""The process of the worker of `clairgen serve`; it ends when its input ends."""

import asyncio
import signal
import sys
import time
from pathlib import Path

from clairgen.child_processes import end_with_parent
from clairgen.cli.signals import run_coroutine
from clairgen.errors import ClairgenError, StoreError, exit_code
from clairgen.inference.runtime import Runtime
from clairgen.inference.shared_limits import SharedLimits
from clairgen.reporting.sanitize import plain_line
from clairgen.service.asking_verbs import ASKING_VERBS
from clairgen.service.command_verbs import command_job
from clairgen.service.job_budget import JobBudget
from clairgen.service.job_requests import COMMAND_VERBS
from clairgen.service.job_worker import Lane, Worker
from clairgen.service.policy import policy_of
from clairgen.service.runs_root import RunsRoot
from clairgen.service.worker_process import STOP, WorkerSettings
from clairgen.store.job_queue import JobQueue
from clairgen_train.reward_model import load_reward_model


def main() -> None:
    """Do the jobs of the service that started this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    codes = []
    try:
        run_coroutine(_work(WorkerSettings.of(sys.argv[1])))
    except* ClairgenError as errors:
        error = _first(errors)
        sys.stderr.write(f"Error: {plain_line(str(error))}\n")
        codes.append(exit_code(error))
    if codes:
        sys.exit(codes[0])


def _first(errors: ExceptionGroup[ClairgenError]) -> ClairgenError:
    error: ClairgenError | ExceptionGroup[ClairgenError] = errors
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


async def _work(settings: WorkerSettings) -> None:
    root = RunsRoot(Path(settings.root))
    policy = policy_of(root, settings.allow_env, settings.allow_endpoint, hub=settings.allow_hub)
    if not root.own_database.exists():  # a new one here would be another than that of the service
        raise StoreError(
            f"there is no {root.own_database}, which has the jobs; put it back, or start the service again"
        )
    queue = JobQueue(root.own_database)
    try:
        worker = Worker(
            queue,
            policy,
            [
                Lane(ASKING_VERBS, settings.jobs),
                Lane(dict.fromkeys(COMMAND_VERBS, command_job), settings.processes, is_here=False),
            ],
            # The one runtime of all jobs in this process, which share what an endpoint allows.
            Runtime(load_reward_model=load_reward_model, shared_limits=SharedLimits(time.monotonic)),
            exit_code,
            settings.drain_seconds,
            JobBudget(settings.budget_usd, root, queue, list(ASKING_VERBS)),
        )
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, worker.stop)

        def obey(words: bytes) -> None:
            loop.call_soon_threadsafe(worker.stop if STOP in words else worker.wake)

        end_with_parent(obey)
        await worker.run()
    finally:
        queue.close()


if __name__ == "__main__":
    main()
