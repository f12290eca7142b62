"""Push an exported folder to the Hugging Face Hub."""

import os
from pathlib import Path

from clairgen.errors import UserError
from clairgen.installed import require_data_extra

TOKEN_ENV = "HF_TOKEN"  # noqa: S105 - the name of the variable


def push(folder: Path, repo_id: str, *, private: bool, endpoint: str | None = None) -> str:
    """Upload `folder` as the data set `repo_id`, creating it if necessary, and return its URL.

    Parquet files of an earlier push into the same subsets are removed in the same commit. The token is read
    from HF_TOKEN only; `endpoint` is the Hub's URL, by default that of `huggingface_hub`. Raises UserError.
    """
    require_data_extra()
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    token = os.environ.get(TOKEN_ENV)
    if not token:
        raise UserError(f"Pushing to the Hub needs a token that may write; set it in the environment as {TOKEN_ENV}.")
    api = HfApi(endpoint=endpoint, token=token)
    try:
        repo = api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo.repo_id,
            repo_type="dataset",
            folder_path=folder,
            commit_message="Add pairs exported by clairgen",
            delete_patterns=[f"{child.name}/*.parquet" for child in folder.iterdir() if child.is_dir()],
        )
    except HFValidationError as exc:
        raise UserError(f"{repo_id!r} cannot name a data set on the Hub; write owner/name.") from exc
    except HfHubHTTPError as exc:
        raise UserError(_refusal(repo_id, exc.response.status_code, exc.server_message, token)) from None
    except httpx2.HTTPError as exc:
        raise UserError(f"The Hub at {api.endpoint} cannot be reached: {_one_line(str(exc), token)}.") from None
    except (OSError, RuntimeError, ValueError) as exc:
        raise UserError(f"The upload to {repo_id} failed: {_one_line(str(exc), token)}.") from None
    return str(repo)


def _refusal(repo_id: str, status: int, message: str | None, token: str) -> str:
    if status == 401:
        return f"The Hub does not accept the token in {TOKEN_ENV}; make a new one that may write to {repo_id}."
    if status == 403:
        return f"The token in {TOKEN_ENV} may not write to {repo_id}; give it that right or name another data set."
    return f"The Hub refused the upload to {repo_id} with status {status}: {_one_line(message or 'no reason given', token)}."


def _one_line(text: str, token: str) -> str:
    """`text` as part of a sentence, with the token removed in case a foreign message repeats it."""
    return " ".join(text.replace(token, "[token]").split())[:300].rstrip(".")
