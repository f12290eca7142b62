"""The loop of rounds over steps that only count: what is done in which order, when it stops, and that a kill repeats nothing."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from clairgen.config.role import Role
from clairgen.iteration.lineage import (
    DataSet,
    Gain,
    Lineage,
    Model,
    PairCounts,
    Round,
    Score,
    Verdict,
    read_lineage,
)
from clairgen.iteration.rounds import Plan, Reference, run_rounds

UP, FLAT, DOWN = Gain(10, 0.2, 0.1, 0.3), Gain(10, 0.0, -0.1, 0.1), Gain(10, -0.2, -0.3, -0.1)
BEGUN = Lineage({"recipe": "clair"}, Model("first"))


class Killed(BaseException):
    """The process ends here."""


class CountingSteps:
    """Steps that write down what they were asked for; the process ends at the `killed_at`-th thing that happens.

    What happens is a step's work and, after it, its end: a step that is killed between the two was done and is not recorded.
    """

    def __init__(self, gains: Mapping[int, Gain] | None = None, killed_at: int | None = None) -> None:
        self.calls: list[str] = []
        self.done: list[str] = []
        self._gains = gains or {}
        self._left = killed_at

    def _happens(self) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise Killed

    def _do(self, call: str) -> None:
        self.calls.append(call)
        self._happens()
        self.done.append(call)
        self._happens()

    @contextmanager
    def serving(self, number: int, model: Model) -> Iterator[Role]:
        """See `Steps`."""
        self.calls.append(f"serve {number}")
        yield Role(model=model.weights, endpoints=["http://localhost/v1"])
        self.calls.append(f"end {number}")

    def evaluate(self, number: int, target: Role, parent: Score | None) -> Score:
        """See `Steps`."""
        self._do(f"evaluate {target.model}")
        return Score(f"evaluation-{number}", 10, 0.5, 0.4, 0.6, 0)

    def gain(self, score: Score, parent: Score) -> Gain:
        """See `Steps`."""
        number = int(score.evaluation.removeprefix("evaluation-"))
        assert parent.evaluation == f"evaluation-{number - 1}"
        return self._gains.get(number, UP)

    def generate(self, one: Round, target: Role) -> PairCounts:
        """See `Steps`."""
        self._do(f"generate {one.number} with {target.model}")
        return PairCounts(f"run-{one.number}", 10, 8, 0, {"target": 10}, {})

    def export(self, one: Round) -> DataSet:
        """See `Steps`."""
        self._do(f"export {one.number}")
        return DataSet(f"data-{one.number}", "sha256:1", 8)

    def train(self, one: Round, parent: Model) -> Model:
        """See `Steps`."""
        assert one.data_set is not None
        self._do(f"train {parent.weights} on {one.data_set.path} against {one.reference}")
        return Model(f"model-{one.number}", "sha256:2", f"training-{one.number}")


def made(folder: Path, steps: CountingSteps, **plan: object) -> Lineage:
    """The rounds after a command that begins them or goes on."""
    options: dict[str, object] = {"rounds": 2} | plan
    return run_rounds(
        read_lineage(folder) or BEGUN,
        Plan(folder, **options),  # type: ignore[arg-type]
        steps,
        now=lambda: "2026-11-26T00:00:00Z",
        say=lambda _sentence: None,
    )


def test_each_round_asks_and_trains_the_model_of_the_one_before_and_serves_each_model_once(tmp_path: Path) -> None:
    steps = CountingSteps()
    lineage = made(tmp_path, steps)
    assert steps.calls == [
        *("serve 0", "evaluate first", "generate 1 with first", "end 0"),
        *("export 1", "train first on data-1 against first"),
        *("serve 1", "evaluate model-1", "generate 2 with model-1", "end 1"),
        *("export 2", "train model-1 on data-2 against model-1"),
        *("serve 2", "evaluate model-2", "end 2"),
    ]
    assert [each.verdict for each in lineage.rounds] == [Verdict.BETTER, Verdict.BETTER]
    assert lineage.best == 2
    assert read_lineage(tmp_path) == lineage


def test_the_reference_stays_the_first_model_by_choice(tmp_path: Path) -> None:
    steps = CountingSteps()
    made(tmp_path, steps, reference=Reference.FIRST)
    assert "train model-1 on data-2 against first" in steps.calls


@pytest.mark.parametrize(("gain", "verdict"), [(FLAT, Verdict.NO_GAIN), (DOWN, Verdict.WORSE)])
def test_a_gain_that_is_not_shown_ends_the_rounds_unless_all_are_wanted(
    tmp_path: Path, gain: Gain, verdict: Verdict
) -> None:
    steps = CountingSteps({2: gain})
    lineage = made(tmp_path, steps, rounds=4)
    assert [each.verdict for each in lineage.rounds] == [Verdict.BETTER, verdict]
    assert lineage.best == 1
    again = CountingSteps()
    assert made(tmp_path, again, rounds=4) == lineage
    assert again.calls == []
    goes_on = CountingSteps()
    assert len(made(tmp_path, goes_on, rounds=3, stops=False).rounds) == 3
    assert goes_on.done[0] == "generate 3 with model-2"


def test_an_interval_that_touches_zero_shows_no_gain() -> None:
    assert Gain(10, 0.1, 0.0, 0.2).verdict is Verdict.NO_GAIN
    assert Gain(10, -0.1, -0.2, 0.0).verdict is Verdict.NO_GAIN
    assert Gain(0, None, None, None).verdict is Verdict.NO_GAIN


def test_without_anything_held_out_all_rounds_are_made_and_the_last_model_is_the_one_to_use(tmp_path: Path) -> None:
    steps = CountingSteps()
    lineage = made(tmp_path, steps, evaluates=False, stops=False)
    assert not [call for call in steps.calls if call.startswith("evaluate")]
    assert "serve 2" not in steps.calls
    assert lineage.best == 2
    assert [each.ended_at for each in lineage.rounds] == ["2026-11-26T00:00:00Z"] * 2


def test_more_rounds_than_before_go_on_from_the_last(tmp_path: Path) -> None:
    made(tmp_path, CountingSteps(), rounds=1)
    steps = CountingSteps()
    assert len(made(tmp_path, steps, rounds=2).rounds) == 2
    assert steps.done == [
        "generate 2 with model-1",
        "export 2",
        "train model-1 on data-2 against model-1",
        "evaluate model-2",
    ]


def test_after_a_kill_at_any_moment_only_the_step_in_progress_is_done_again(tmp_path: Path) -> None:
    whole = CountingSteps()
    (tmp_path / "whole").mkdir()
    expected = made(tmp_path / "whole", whole)
    for moment in range(2 * len(whole.done)):
        folder = tmp_path / str(moment)
        folder.mkdir()
        killed, after = CountingSteps(killed_at=moment), CountingSteps()
        with pytest.raises(Killed):
            made(folder, killed)
        assert made(folder, after) == expected
        in_progress = killed.calls[-1]
        recorded = [call for call in killed.done if call != in_progress]
        assert recorded + after.done == whole.done, moment
