"""One rank of a launched training run: `python -m clairgen_train OUT`, after `prepare` has filled OUT."""

import sys
from pathlib import Path

from clairgen.errors import ClairgenError, DrainedError
from clairgen_train import loading_libraries
from clairgen_train.run_folder import RunFolder


def main() -> int:
    """Train on this rank; the exit code is 0 also where a signal ended the run, since the launcher looks into the folder."""
    with loading_libraries():
        from clairgen_train.run import run

    try:
        run(RunFolder(Path(sys.argv[1])))
    except DrainedError:
        return 0
    except ClairgenError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
