"""The files of a batch's results, downloaded until they are whole, or gone for good."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from clairgen.errors import EndpointsError, RetryableError, UnusableEndpointError
from clairgen.inference.batch_lines import split_lines
from clairgen.inference.batch_service import RemoteBatch
from clairgen.inference.json_bodies import parsed_json
from clairgen.pipeline.batch_lane.batch_results import BatchResults
from clairgen.pipeline.batch_lane.provider_account import ProviderAccount

_WITHOUT_NEW: Final = 5  # downloads in a row that brought no new line
_GONE: Final = (404, 410)


async def take_files(remote: RemoteBatch, results: BatchResults, account: ProviderAccount) -> bool:
    """Take in the files of answers and of errors; False if one is gone for good.

    Raises EndpointsError for one that cannot be downloaded, StoreError for what cannot be kept.
    """
    whole = True
    for file_id in (remote.output_file_id, remote.error_file_id):
        if file_id is not None:
            whole = await _take_file(file_id, results, account) and whole
    await results.finish()
    return whole


async def _take_file(file_id: str, results: BatchResults, account: ProviderAccount) -> bool:
    """Take in a file; one that breaks off, or comes short, is downloaded again for what is missing of it."""
    searching, without_new = account.searching(), 0
    while True:
        before, error = results.new_lines, None
        try:
            if await _download(file_id, results, account):
                return True
        except UnusableEndpointError as refused:
            if refused.status not in _GONE:
                raise EndpointsError(f"results cannot be downloaded: {refused.detail}") from refused
            if searching.is_over:
                return False
        except RetryableError as failed:
            error = failed
        without_new = 0 if results.new_lines > before else without_new + 1
        if without_new > _WITHOUT_NEW and error is None:
            return True  # the provider is wrong about its length
        if without_new > _WITHOUT_NEW and error is not None and searching.is_over_after(error):
            raise EndpointsError(f"results cannot be downloaded: {error.detail}; run the same command again later")
        if error is not None and error.retry_after_seconds:
            await searching.wait_after(error)
        else:
            await searching.wait(0.0 if without_new < _WITHOUT_NEW else account.settings.poll_seconds)


async def _download(file_id: str, results: BatchResults, account: ProviderAccount) -> bool:
    """Take in the lines of one download; whether that was the whole file. Its last line may be cut off where it was not."""
    received = 0
    results.unmatched.begin(file_id)

    async def counted() -> AsyncGenerator[bytes, None]:
        nonlocal received
        async with aclosing(account.service.content(file_id)) as pieces:
            async for piece in pieces:
                received += len(piece)
                yield piece

    held: bytes | None = None
    async with aclosing(counted()) as pieces, aclosing(split_lines(pieces)) as lines:
        async for line in lines:
            if held is not None:
                await results.take(held)
            held = line
    size = await file_size(file_id, account)
    is_whole = size is None or received >= size
    if held is not None and (is_whole or parsed_json(held)[0] is not None):
        await results.take(held)
    return is_whole


async def file_size(file_id: str, account: ProviderAccount) -> int | None:
    """How many bytes a file has; None where the provider does not say. Raises EndpointsError."""
    try:
        return await account.persistently(lambda: account.service.size(file_id))
    except UnusableEndpointError:
        return None
