"""inspect_ai in its batch mode: a task with a sample a prompt, for `inspect eval` and `inspect eval-retry`.

batch_with_inspect.py FOLDER writes the prompts and answers that its logs have.
"""

import json
import sys
from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import list_eval_logs, read_eval_log
from inspect_ai.solver import generate


@task
def answers(prompts: str) -> Task:
    """The prompts of a JSON file."""
    texts = json.loads(Path(prompts).read_text())
    samples = [Sample(id=number, input=text) for number, text in enumerate(texts)]
    return Task(dataset=MemoryDataset(samples), solver=generate())


def main() -> None:
    """Write what the logs in a folder have."""
    found = {}
    for info in list_eval_logs(sys.argv[1]):
        for sample in read_eval_log(info).samples or []:
            if sample.error is None and sample.output.completion:
                found[sample.input] = sample.output.completion
    sys.stdout.write(json.dumps(list(found.items())))


if __name__ == "__main__":
    main()
