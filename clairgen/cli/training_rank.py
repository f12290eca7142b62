"""One process of a training run over several nodes: `python -m clairgen.cli.training_rank DATA OUT SETTINGS`."""

import sys
from pathlib import Path

from clairgen.cli.train import train
from clairgen.errors import ClairgenError, DrainedError
from clairgen_train.settings import load_settings


def main(data: str, out: str, settings: str) -> int:
    """Train as this rank; the exit code is 0 also where a signal ended the run, since the launcher looks into the folder."""
    try:
        train(data, Path(out), load_settings(Path(settings), {}))
    except DrainedError:
        return 0
    except ClairgenError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
