"""Whose copy it is: each session that keeps one begins a new epoch, and only the newest epoch's may go on."""

import json
import os
import platform
import uuid
from typing import Final

from clairgen.copies.objects import EPOCHS, Epoch, epoch_name, epoch_object, epoch_of
from clairgen.copies.storage import Storage
from clairgen.errors import CopyError

KNOWN: Final = "copy:"
"""Metadata key, with the name of a copy: the tokens of the epochs that this run directory had, or was restored from, as JSON."""


def newest_epoch(storage: Storage) -> Epoch | None:
    """The epoch of a copy that counts; None where there is no copy. Raises CopyError."""
    names = storage.names(EPOCHS)
    if not names:
        return None
    if (epoch := epoch_of(storage.get(names[-1]))) is None:
        raise CopyError(
            f"{names[-1]} in the copy at {storage.address} is not whole, or of a newer clairgen; if it is damaged, use "
            "clairgen restore with --accept-loss, and go on with a new place for --copy-to"
        )
    return epoch


def next_epoch(newest: Epoch | None, run: str, began_at: str) -> Epoch:
    """The epoch of this process, after the newest one."""
    return Epoch(
        number=1 if newest is None else newest.number + 1,
        copy=uuid.uuid4().hex if newest is None else newest.copy,
        run=run,
        token=uuid.uuid4().hex,
        holder=f"process {os.getpid()} on {platform.node()}",
        began_at=began_at,
    )


def begin_epoch(storage: Storage, epoch: Epoch) -> None:
    """Take a copy over. Raises CopyError if another process did so just now."""
    name = epoch_name(epoch.number)
    # A reply that was lost makes the storage's own package try again, and find what it wrote.
    if not storage.create(name, epoch_object(epoch)) and epoch_of(storage.get(name)) != epoch:
        raise CopyError(
            f"another process has just taken over the copy at {storage.address}; see that only one makes this run"
        )


def tokens_of(value: str | None) -> list[str]:
    """The tokens in the metadata of a run."""
    return [] if value is None else [str(token) for token in json.loads(value)]


def tokens_text(*tokens: str) -> str:
    """Tokens as the metadata of a run has them."""
    return json.dumps(tokens)
