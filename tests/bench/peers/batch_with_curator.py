"""bespokelabs-curator in its batch mode: a prompt a line in a file, its working folder kept, so that it can be started again.

batch_with_curator.py URL FOLDER PROMPTS REQUESTS_OF_ONE_BATCH
"""

import json
import os
import sys
from pathlib import Path

os.environ |= {"TELEMETRY_ENABLED": "0", "CURATOR_DISABLE_RICH_DISPLAY": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}


def main() -> None:
    """Request them all."""
    url, folder, prompts, size = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    from bespokelabs import curator

    class Answers(curator.LLM):
        def prompt(self, row: dict[str, str]) -> str:
            return row["question"]

        def parse(self, row: dict[str, str], response: str) -> dict[str, str]:
            return {"question": row["question"], "answer": response}

    client = Answers(
        model_name="gpt-4o-mini",
        backend="openai",
        batch=True,
        backend_params={"base_url": url, "api_key": "none", "batch_size": size, "batch_check_interval": 1},
    )
    rows = [{"question": prompt} for prompt in json.loads(prompts.read_text())]
    client(rows, working_dir=str(folder))


def kept(folder: Path) -> list[tuple[str, str]]:
    """Each prompt and answer in its files of responses."""
    lines = [line for path in folder.rglob("responses_*.jsonl") for line in path.read_text().splitlines()]
    found = [one for one in map(json.loads, lines) if one["response_message"] is not None]
    return [(one["generic_request"]["original_row"]["question"], one["response_message"]) for one in found]


if __name__ == "__main__":
    main()
