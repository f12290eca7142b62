from clairgen.cli.display import counters_line
from clairgen.pipeline.progress import Progress
from clairgen.wording import counted, one_line_repr


def test_a_count_agrees_with_its_noun() -> None:
    assert [counted(number, "pair") for number in (0, 1, 2, 1204)] == ["0 pairs", "1 pair", "2 pairs", "1,204 pairs"]
    assert [counted(number, "reply", "replies") for number in (1, 2)] == ["1 reply", "2 replies"]


def test_the_line_of_a_watched_run_agrees_too() -> None:
    progress = Progress(pairs_to_make=1)
    assert counters_line(progress.counters(1.0)).startswith("0 of 1 pair, 0 failed")


def test_a_repr_is_one_printable_line_however_long_and_hostile_its_facts_are() -> None:
    shown = one_line_repr(Progress(), "a\x1b[2J\n" + "long " * 100, "fact")
    assert len(shown) < 200
    assert shown.isprintable()
    assert (shown[:13], shown[-2:]) == ("<Progress of ", "…>")
    assert one_line_repr(Progress(), "a run", "1 pair", "2 failed") == "<Progress of a run: 1 pair, 2 failed>"
