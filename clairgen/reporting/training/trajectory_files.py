"""Reading a training run's folder: `trajectories.parquet` with its metadata, and `training.yaml` with the settings, if any.

The file is a table with one row for each held-out pair and measurement. Its columns are those of `_COLUMNS`; its metadata names
the objective and beta, without which no reward can be computed, and the data, model and version.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

from clairgen.errors import InputError
from clairgen.reporting.sanitize import shortened
from clairgen.reporting.training.trajectory import Floats, Trajectory
from clairgen.wording import counted

SETTINGS_FILE = "training.yaml"
_LARGEST_BYTES = 1_000_000
_MOST = 200
_DEEPEST = 4  # a YAML alias can make a mapping contain itself


def run_settings(out: Path) -> dict[str, str]:
    """The settings by dotted name, as text; empty without the file. Raises InputError if the file cannot be read."""
    path = out / SETTINGS_FILE
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise InputError(
                f"the settings {path} are larger than a megabyte, which settings never are; remove the file"
            )
        content: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the settings {path} cannot be read ({error}); fix or remove the file") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        line = f" line {mark.line + 1}" if (mark := getattr(error, "problem_mark", None)) else ""
        raise InputError(f"the settings {path}{line} are not valid YAML; fix or remove the file") from error
    return dict(islice(_flat(content, ""), _MOST))


def _flat(content: object, name: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    if isinstance(content, Mapping) and depth < _DEEPEST:
        for key, value in content.items():
            yield from _flat(value, f"{name}.{key}" if name else str(key), depth + 1)
    elif name:
        yield shortened(name), shortened(_text(content))


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        shown = ", ".join("…" if isinstance(one, list | tuple | Mapping) else str(one) for one in value[:20])
        return shown if len(value) <= 20 else f"{shown}, …"
    return "…" if isinstance(value, Mapping) else str(value)


FILE = "trajectories.parquet"
MOST_BETA = 1e6
_TOKENS = ("chosen_tokens", "rejected_tokens", "sampled_tokens")
_COLUMNS: dict[str, pa.DataType] = {
    "step": pa.int64(),
    "epoch": pa.float64(),
    "pair_id": pa.string(),
    **dict.fromkeys(("chosen_logps", "rejected_logps", "ref_chosen_logps", "ref_rejected_logps"), pa.float64()),
    **dict.fromkeys(_TOKENS, pa.int64()),
}
_OTHER = "name the output folder of a training run"


def read_trajectory(out: Path) -> Trajectory:
    """The trajectory of the training run whose output folder is `out`.

    Raises InputError for a folder without a trajectory and for a file that is damaged, empty or of another shape.
    """
    path = out / FILE
    table = _table(path, out)
    beta, facts = _facts(table, path)
    steps, first_rows, step_of = np.unique(table["step"].to_numpy(), return_index=True, return_inverse=True)
    pairs = table["pair_id"].combine_chunks().dictionary_encode()
    pair_ids = tuple(map(str, pairs.dictionary.to_pylist()))
    pair_of = pairs.indices.to_numpy(zero_copy_only=False)
    shape = (len(steps), len(pair_ids))
    measured = _measured(shape, step_of, pair_of, path, pair_ids)
    epochs = table["epoch"].to_numpy()[first_rows]
    if not (steps.min() >= 0 and (epochs >= 0).all() and (epochs < 1e9).all()):
        raise InputError(f"{path} has steps or epochs that are negative or not numbers; {_OTHER}")

    def spread(name: str) -> Floats:
        whole = np.full(shape, np.nan)
        whole[step_of, pair_of] = table[name].to_numpy()
        return whole

    return Trajectory(
        run=str(out),
        objective=facts["clairgen_objective"],
        beta=beta,
        data=facts.get("clairgen_data", ""),
        model=facts.get("clairgen_model", ""),
        version=facts.get("clairgen_version", ""),
        steps=tuple(steps.tolist()),
        epochs=tuple(epochs.tolist()),
        pair_ids=pair_ids,
        measured=measured,
        chosen=spread("chosen_logps"),
        rejected=spread("rejected_logps"),
        ref_chosen=spread("ref_chosen_logps"),
        ref_rejected=spread("ref_rejected_logps"),
        chosen_tokens=spread("chosen_tokens"),
        rejected_tokens=spread("rejected_tokens"),
        sampled_tokens=spread("sampled_tokens"),
        settings=run_settings(out),
    )


def _table(path: Path, out: Path) -> pa.Table:
    """The columns that are read, each cast to its type, without empty cells where none are allowed."""
    if not path.is_file():
        hint = _OTHER
        if (out / "run.db").is_file():
            hint = f"it is a run directory of `clairgen generate`, so leave out --training: clairgen report {out}"
        raise InputError(f"there is no {FILE} in {out}; {hint}")
    try:
        with pq.ParquetFile(path) as file:
            names = set(file.schema_arrow.names)
            missing = [name for name in _COLUMNS if name not in names]
            if missing:
                raise InputError(f"{path} is not a trajectory: it has no column {', '.join(missing)}; {_OTHER}")
            table = file.read(columns=list(_COLUMNS))
        table.validate(full=True)
        whole_numbers = table.select(list(_COLUMNS)).cast(pa.schema(list(_COLUMNS.items())))
        as_read = pa.schema([(name, pa.float64() if name in _TOKENS else kind) for name, kind in _COLUMNS.items()])
        table = whole_numbers.cast(as_read).replace_schema_metadata(table.schema.metadata)
    except (pa.ArrowException, OSError, ValueError) as error:
        said = (str(error).splitlines() or ["it is damaged"])[0]
        raise InputError(f"{path} cannot be read as a trajectory ({said[:200]}); copy it again, or {_OTHER}") from error
    if not table.num_rows:
        raise InputError(
            f"{path} contains no measurement: the run ended before the first one; train again, or {_OTHER}"
        )
    for name in ("step", "epoch", "pair_id"):
        if table[name].null_count:
            raise InputError(f"{path} is not a trajectory: its column {name} has empty cells; {_OTHER}")
    return table


def _facts(table: pa.Table, path: Path) -> tuple[float, dict[str, str]]:
    """Beta and the other metadata by key."""
    raw = table.schema.metadata or {}
    facts = {key.decode(errors="replace"): value.decode(errors="replace") for key, value in raw.items()}
    missing = [key for key in ("clairgen_objective", "clairgen_beta") if not facts.get(key)]
    if missing:
        raise InputError(
            f"{path} does not say {' and '.join(missing)} in its metadata; use the file as training wrote it"
        )
    try:
        beta = float(facts["clairgen_beta"])
    except ValueError:
        beta = 0.0
    if not 0 < beta <= MOST_BETA:
        raise InputError(
            f"{path} says clairgen_beta = {facts['clairgen_beta'][:40]!r}, which is not a beta: give a number above 0"
        )
    return beta, facts


def _measured(
    shape: tuple[int, int], step_of: NDArray[np.intp], pair_of: NDArray[np.int32], path: Path, pair_ids: tuple[str, ...]
) -> NDArray[np.bool_]:
    """Where there is a row: shape (steps, pairs). Raises InputError if a row is repeated or most rows are missing."""
    rows = len(step_of)
    if shape[0] * shape[1] > 4 * rows:
        raise InputError(
            f"{path} is not a trajectory: its steps measure different pairs ({counted(shape[1], 'pair')}, "
            f"{counted(shape[0], 'step')}, only {counted(rows, 'row')}); {_OTHER}"
        )
    measured = np.zeros(shape, np.bool_)
    measured[step_of, pair_of] = True
    if measured.sum() < rows:
        cells = step_of.astype(np.int64) * shape[1] + pair_of
        values, counts = np.unique(cells, return_counts=True)
        pair = pair_ids[int(values[counts > 1][0]) % shape[1]]
        raise InputError(f"{path} measures the pair {pair[:80]!r} twice at one step; use the file as training wrote it")
    return measured
