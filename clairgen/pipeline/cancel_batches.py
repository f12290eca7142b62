"""Cancelling the open batches of a run: what they have finished is paid for, so it is taken in."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from clairgen.config.file import load_config
from clairgen.config.prices import with_prices
from clairgen.config.role import Role
from clairgen.errors import ConfigError, RunStoppedError, UserError
from clairgen.inference.factory import with_revisions
from clairgen.inference.runtime import Runtime
from clairgen.pipeline.batch_lane.batch_roles import batch_roles, models_in
from clairgen.pipeline.batch_lane.open_batches import OpenBatches
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.session import session
from clairgen.store import RunDirectory

STILL_OPEN: Final = "open"
"""What `cancel_batches` says of a batch that has not ended."""


async def cancel_batches(
    run: Path | str,
    config: Path | None = None,
    *,
    progress: Progress | None = None,
    stop: asyncio.Event | None = None,
    runtime: Runtime | None = None,
) -> Counter[str]:
    """Cancel the open batches of a run and take in what they have finished; how many ended in which state.

    A batch that its provider had finished by then is `completed`, one that was never created `abandoned`; one that has not ended
    is counted as STILL_OPEN.

    Endpoints and keys are those of the run's recorded configuration, or of the file `config`. Set `stop` to leave them as they
    are by then. Raises UserError, or RunStoppedError where the provider cannot be reached.
    """
    progress, stop, runtime = progress or Progress(), stop or asyncio.Event(), runtime or Runtime()
    directory = RunDirectory(Path(run))
    directory.require()
    async with session(directory, progress, stop, runtime) as held:
        records = await held.store.batches.all(open_only=True)
        if not records:
            return Counter()
        roles = with_prices(with_revisions(await asyncio.to_thread(_models, directory, config)))
        found = batch_roles(roles, {}, records, directory, held.store, runtime, progress)
        budget, errors = await held.budget(None, roles), list[RunStoppedError | UserError]()
        batches = OpenBatches(
            held.store,
            found,
            directory.batches,
            progress=progress,
            budget=budget,
            deliver=lambda _key, _outcome: None,
            fail=errors.append,
        )
        try:
            await batches.resume(cancels=True)
            ended, stopped = asyncio.create_task(batches.ended()), asyncio.create_task(stop.wait())
            await asyncio.wait((ended, stopped), return_when=asyncio.FIRST_COMPLETED)
            ended.cancel()
            stopped.cancel()
        finally:
            await batches.close()
        if errors:
            raise errors[0]
        were_open = {record.id for record in records if record.duplicate_of is None}
        return Counter(
            str(record.status or record.state) if record.state == "ended" else STILL_OPEN
            for record in await held.store.batches.all()
            if record.id in were_open
        )


def _models(directory: RunDirectory, config: Path | None) -> Mapping[str, Role]:
    """The models of a configuration, or of the run's own. ConfigError where there is none, as in a directory of evaluations."""
    if config is not None:
        return models_in(config)
    if not directory.config.exists():
        raise ConfigError(
            f"{directory.path} has no configuration of its own, as a directory of evaluations has none; name the one that the "
            "batches were made with: --config FILE"
        )
    return load_config(directory.config).models
