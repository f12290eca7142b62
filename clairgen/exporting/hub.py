"""Push an exported data set or a trained model to the Hugging Face Hub."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clairgen.errors import UserError
from clairgen.exporting.shards import FileFormat
from clairgen.installed import require_data_extra

TOKEN_ENV = "HF_TOKEN"  # noqa: S105 - the name of the variable
_MODEL_FILES = re.compile(
    r"README\.md|(adapter_)?model.*\.safetensors(\.index\.json)?|(generation_|adapter_)?config\.json|token.*"
    r"|special_tokens_map\.json|added_tokens\.json|vocab\..*|merges\.txt|.*\.jinja"
)
"""The files of a model, among all those of a training run's folder."""


def push(folder: Path, repo_id: str, *, private: bool, endpoint: str | None = None) -> str:
    """Upload `folder` as the data set `repo_id`, creating it if necessary, and return its URL.

    Files of rows of an earlier push into the same subsets are removed in the same commit. The token is read
    from HF_TOKEN only; `endpoint` is the Hub's URL, by default that of `huggingface_hub`. Raises UserError.
    """
    old = [f"{child.name}/*.{ending}" for child in folder.iterdir() if child.is_dir() for ending in FileFormat]
    upload = {"commit_message": "Add pairs exported by clairgen", "delete_patterns": old}
    return _pushed(folder, repo_id, "dataset", upload, private=private, endpoint=endpoint)


def push_model(folder: Path, repo_id: str, *, private: bool, endpoint: str | None = None) -> str:
    """Upload the model in `folder` as `repo_id`, creating it if necessary, and return its URL.

    Only weights, configuration, tokenizer and card are uploaded: no checkpoint, data or log. Weights of an earlier push are
    removed in the same commit. Token, `endpoint` and errors as for `push`; an adapter over a local base is refused too.
    """
    _require_reachable_base(folder)
    names = [path.name for path in folder.iterdir() if path.is_file() and _MODEL_FILES.fullmatch(path.name)]
    if not any(name.endswith(".safetensors") for name in names):
        raise UserError(f"{folder} holds no trained model; run the training to its end first.")
    upload = {
        "commit_message": "Add a model trained by clairgen",
        "allow_patterns": sorted(names),
        "delete_patterns": ["*.safetensors", "*.safetensors.index.json"],
    }
    return _pushed(folder, repo_id, "model", upload, private=private, endpoint=endpoint)


def require_push(repo_id: str) -> str:
    """The token for a push to `repo_id`. Raises UserError without one, and for a name that cannot be, before anything is sent."""
    require_data_extra()
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    token = os.environ.get(TOKEN_ENV)
    if not token:
        raise UserError(f"Pushing to the Hub needs a token that may write; set it in the environment as {TOKEN_ENV}.")
    try:
        validate_repo_id(repo_id)
    except HFValidationError as exc:
        raise UserError(f"{repo_id!r} cannot name a repository on the Hub; write owner/name.") from exc
    return token


def _pushed(
    folder: Path, repo_id: str, kind: str, upload: Mapping[str, Any], *, private: bool, endpoint: str | None
) -> str:
    token = require_push(repo_id)
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    api = HfApi(endpoint=endpoint, token=token)
    try:
        repo = api.create_repo(repo_id, repo_type=kind, private=private, exist_ok=True)
        api.upload_folder(repo_id=repo.repo_id, repo_type=kind, folder_path=folder, **upload)
    except HFValidationError as exc:
        raise UserError(f"{repo_id!r} cannot name a repository on the Hub; write owner/name.") from exc
    except HfHubHTTPError as exc:
        raise UserError(_refusal(repo_id, exc.response.status_code, exc.server_message, token)) from None
    except httpx2.HTTPError as exc:
        raise UserError(f"The Hub at {api.endpoint} cannot be reached: {_one_line(str(exc), token)}.") from None
    except (OSError, RuntimeError, ValueError) as exc:
        raise UserError(f"The upload to {repo_id} failed: {_one_line(str(exc), token)}.") from None
    return str(repo)


def _require_reachable_base(folder: Path) -> None:
    """Raise UserError for an adapter whose base is a folder of this machine, since nobody else could load it."""
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    base = str(config.get("base_model_name_or_path"))
    if Path(base).is_absolute() or Path(base).exists():
        raise UserError(
            f"The base of the adapter in {folder} is the folder {base}, which nobody else has; merge it and push the result: "
            f"clairgen merge-adapter {folder} OUT --push-to-hub OWNER/NAME."
        )


def _refusal(repo_id: str, status: int, message: str | None, token: str) -> str:
    if status == 401:
        return f"The Hub does not accept the token in {TOKEN_ENV}; make a new one that may write to {repo_id}."
    if status == 403:
        return f"The token in {TOKEN_ENV} may not write to {repo_id}; give it that right or name another repository."
    return f"The Hub refused the upload to {repo_id} with status {status}: {_one_line(message or 'no reason given', token)}."


def _one_line(text: str, token: str) -> str:
    """`text` as part of a sentence, with the token removed in case a foreign message repeats it."""
    return " ".join(text.replace(token, "[token]").split())[:300].rstrip(".")
