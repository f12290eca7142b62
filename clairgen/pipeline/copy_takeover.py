"""Before a session keeps a copy of its run: a new run directory is restored from it, and the copy of this run taken over."""

from pathlib import Path
from typing import Final

from clairgen.copies.epochs import (
    KNOWN,
    RESTORED,
    Epoch,
    KeptEpoch,
    begin_epoch,
    check_may_go_on,
    holds_run,
    newest_allowance,
    newest_epoch,
    next_epoch,
    tokens_of,
    tokens_text,
)
from clairgen.copies.restoring import is_restorable_into, restore
from clairgen.copies.storage import FolderStorage, Storage, open_storage
from clairgen.errors import ConfigError, CopyError
from clairgen.hanging_calls import in_thread
from clairgen.installed import __version__
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.session import Session
from clairgen.store import RunDirectory, now

_ADDRESS: Final = "copied to"  # metadata key of the address at which the run's copy was kept last


async def storage_of(
    address: str | Path | None, directory: RunDirectory, progress: Progress, *, no_copy: bool
) -> Storage | None:
    """The storage at an address, if there is one; a run that has no folder yet, or an empty one, is restored from a copy there.

    Raises CopyError, RunError, and ConfigError as `open_storage` does, or if there is to be `no_copy` all the same.
    """
    if address is None:
        return None
    if no_copy:
        raise ConfigError(f"--copy-to {address} keeps a copy and --no-copy goes on without one; give one of the two")
    storage = open_storage(str(address))
    if isinstance(storage, FolderStorage):
        copy, run = storage.folder.resolve(), directory.path.resolve()
        if copy.is_relative_to(run):
            raise ConfigError(
                f"the copy at {address} would be in the run directory itself, and lost with it; name another place"
            )
        if run.is_relative_to(copy):
            raise ConfigError(
                f"the run directory {directory.path} would be inside of its copy at {address}; name another place for one of them"
            )
    await _restore_if_new(storage, directory, progress)
    return storage


async def _restore_if_new(storage: Storage, directory: RunDirectory, progress: Progress) -> None:
    if not is_restorable_into(directory) or not await in_thread(lambda: holds_run(storage)):
        return

    def work() -> str:
        directory.path.mkdir(parents=True, exist_ok=True)
        with directory.locked():
            return restore(storage, directory).sentence

    sentence = await in_thread(work)
    progress.note(
        f"restored {directory.path} from the copy at {storage.address}: {sentence}; what was asked after that is not known"
    )


async def check_copy(held: Session, storage: Storage | None, *, no_copy: bool) -> None:
    """Raise CopyError where this directory may not go on with the copy that there is, or has one and names none.

    `no_copy` is whether the user wants to go on without it.
    """
    if storage is not None:
        await _known(held, storage)
    elif not no_copy and await held.store.metadata.with_prefix(KNOWN):
        address = await held.store.metadata.get(_ADDRESS)
        raise CopyError(
            f"{held.directory.path} has a copy, from which another machine may have gone on with the run; give --copy-to "
            f"{address} so that this is checked, or --no-copy to go on without the copy and perhaps pay twice"
        )


async def taken_over(held: Session, storage: Storage) -> KeptEpoch:
    """Begin this session's epoch of a copy, once it is clear that this directory may go on with it. Raises CopyError."""
    run, newest, tokens = await _known(held, storage)
    epoch = next_epoch(newest, run, now())
    await held.store.metadata.put(_ADDRESS, storage.address)
    # The token is on disk before the epoch is in the copy, so that after a kill in between this directory may go on.
    key, restored = f"{KNOWN}{epoch.copy}", [RESTORED] if RESTORED in tokens else []
    known = [newest.token] if newest is not None and newest.token in tokens else []
    await held.store.metadata.put(key, tokens_text(*known, epoch.token, *restored))
    await in_thread(lambda: begin_epoch(storage, epoch))
    if restored:  # the session that was taken for lost may have gone on until now
        await held.store.spending.count_lost(await in_thread(lambda: newest_allowance(storage)))
        await held.store.metadata.put(key, tokens_text(*known, epoch.token))
    return KeptEpoch(storage, epoch)


async def _known(held: Session, storage: Storage) -> tuple[str, Epoch | None, list[str]]:
    """The run, the newest epoch of a copy, and the tokens that the run knows of that. Raises CopyError if it may not go on."""
    metadata = held.store.metadata
    await metadata.initialize(__version__)
    run = str(await metadata.get("run_id"))
    newest = await in_thread(lambda: newest_epoch(storage))
    tokens = tokens_of(None if newest is None else await metadata.get(f"{KNOWN}{newest.copy}"))
    await in_thread(lambda: check_may_go_on(storage, newest, run, tokens))
    return run, newest, tokens
