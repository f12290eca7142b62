"""Files that users bring, in the folder `uploads`: sent as the body of a request, whole or not there, never replaced."""

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Request
from fastapi import Path as InPath
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, RedirectResponse, Response

from clairgen.errors import InputError, RunError, StoreError
from clairgen.service.answers import Answered
from clairgen.service.form_file import FormFile
from clairgen.service.job_files import MadeFile, made_files
from clairgen.service.jobs import Jobs, require_run_scope
from clairgen.service.policy import NAMING
from clairgen.service.rendering import form_fields, page
from clairgen.service.request_checks import UPLOAD_FORM_PATH, UPLOADS_PATH
from clairgen.service.runs import NotThereError
from clairgen.service.runs_root import UPLOADS, RunsRoot, name_fault

MOST_BYTES: Final = 1 << 30
_KINDS: Final = (".jsonl", ".json", ".csv", ".parquet", ".txt")
_LEAST_FREE_BYTES: Final = 1 << 30
_SILENT_SECONDS: Final = 60.0
_WRITTEN_AT_ONCE: Final = 1 << 20
_FILE: Final = {"type": "string", "format": "binary"}  # as OpenAPI describes the content of a file
FileName = Annotated[str, InPath(max_length=255, description="The name of the file.")]


def upload_routes(root: RunsRoot, jobs: Jobs) -> APIRouter:
    """The routes to the files that users brought; where no jobs are taken, none are taken in."""
    routes = APIRouter(prefix=UPLOADS_PATH.rstrip("/"), default_response_class=Answered)
    folder = root.path / UPLOADS

    @routes.get("", response_model=list[MadeFile], summary="The files that were uploaded")
    async def list_uploads() -> Answered:
        return Answered(await asyncio.to_thread(made_files, folder))

    @routes.put(
        "/{name}",
        response_model=MadeFile,
        status_code=201,
        openapi_extra={"requestBody": {"content": {"application/octet-stream": {"schema": _FILE}}}},
        summary="Upload a file as the body of the request",
    )
    async def upload(name: FileName, request: Request) -> Answered:
        require_run_scope(request.state.grant)
        jobs.require_taken()
        return Answered(MadeFile(name, await _taken_in(request.stream(), folder, name)), status_code=201)

    @routes.delete("/{name}", status_code=204, response_class=Response, summary="Delete an uploaded file")
    async def delete_upload(name: FileName, request: Request) -> Response:
        require_run_scope(request.state.grant)
        await asyncio.to_thread(_delete, folder, name)
        return Response(status_code=204)

    return routes


def upload_pages(root: RunsRoot, jobs: Jobs) -> APIRouter:
    """The page of these files, with a form that works without a script."""
    routes = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    folder = root.path / UPLOADS

    @routes.get(UPLOAD_FORM_PATH)
    async def uploads_page(request: Request) -> Response:
        files = await asyncio.to_thread(made_files, folder)
        values = {"files": files, "kinds": _KINDS, "most_bytes": MOST_BYTES, "are_taken": jobs.are_taken}
        return page(request, "uploads.html", values)

    @routes.post(UPLOAD_FORM_PATH)
    async def upload_by_form(request: Request) -> Response:
        require_run_scope(request.state.grant)
        jobs.require_taken()
        file = FormFile(request.headers.get("content-type", ""), _steadily(request.stream()))
        await _taken_in(file.chunks(), folder, await file.name())
        return RedirectResponse(UPLOAD_FORM_PATH, status_code=303)

    @routes.post(f"{UPLOAD_FORM_PATH}/delete")
    async def delete_by_form(request: Request) -> Response:
        require_run_scope(request.state.grant)
        await asyncio.to_thread(_delete, folder, (await form_fields(request)).get("name", ""))
        return RedirectResponse(UPLOAD_FORM_PATH, status_code=303)

    return routes


async def _taken_in(content: AsyncIterator[bytes], folder: Path, name: str) -> int:
    """Write a new file of this name; its size in bytes."""
    target = folder / _checked(name)
    await asyncio.to_thread(_make_folder, folder)
    if target.exists():
        raise RunError(f"there is an uploaded file {name}; choose another name, or delete it first")
    return await _received(content, target)


def _delete(folder: Path, name: str) -> None:
    target = folder / _checked(name)
    if folder.is_symlink() or not target.is_file():
        raise NotThereError("there is no uploaded file of this name")
    target.unlink(missing_ok=True)


def _make_folder(folder: Path) -> None:
    """Make it if it is not there. Raises StoreError."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} cannot be made: {error.strerror}; check the folder of runs") from error
    if folder.is_symlink():
        raise InputError(f"{UPLOADS} is a link, which is not followed")


async def _received(content: AsyncIterator[bytes], target: Path) -> int:
    """Write a file as its content arrives; its size in bytes. Raises InputError for one that is too large or stops coming."""
    partial = target.with_name(f".{secrets.token_hex(8)}.partial")
    size, waiting = 0, bytearray()
    try:
        with partial.open("xb") as file:
            async for chunk in _steadily(content):
                size += len(chunk)
                if size > MOST_BYTES:
                    raise InputError(f"a file that is uploaded has at most {MOST_BYTES:,} bytes")
                waiting += chunk
                if len(waiting) >= _WRITTEN_AT_ONCE:
                    _check_space(target.parent)
                    await asyncio.to_thread(file.write, bytes(waiting))
                    waiting.clear()
            file.write(waiting)
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        os.link(partial, target)  # unlike a rename this replaces nothing
    except FileExistsError as error:
        raise RunError(f"there is an uploaded file {target.name} by now; choose another name") from error
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror}; check the disk and the permissions") from error
    finally:
        partial.unlink(missing_ok=True)
    return size


async def _steadily(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The chunks of a body, as long as they keep coming."""
    try:
        while True:
            async with asyncio.timeout(_SILENT_SECONDS):
                chunk = await anext(content)
            yield chunk
    except StopAsyncIteration:
        return
    except ClientDisconnect as error:
        raise InputError("the file did not come whole; send it again") from error
    except TimeoutError as error:
        raise InputError(f"nothing more of the file came for {_SILENT_SECONDS:g} s; send it again") from error


def _check_space(folder: Path) -> None:
    if shutil.disk_usage(folder).free < _LEAST_FREE_BYTES:
        raise StoreError(f"the disk that holds {folder} is nearly full, so no file is taken in; free some space")


def _checked(name: str) -> str:
    if (fault := name_fault(name)) is not None:
        raise InputError(f"the name of a file {fault}")
    if not name.lower().endswith(_KINDS):
        raise InputError(f"a file that is uploaded ends in {', '.join(_KINDS)}")
    if name in NAMING:  # it could be put there after the folder was checked
        raise InputError(f"{name} says where a data set has its rows, which no file that is uploaded may")
    return name
