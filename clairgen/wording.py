"""Small things about texts for people: a count with its noun, what a value's repr says on one line, how the paper is cited."""

_LONGEST_REPR = 199
PAPER_BIBTEX = """\
@article{doosterlinck2024anchored,
  title  = {Anchored Preference Optimization and Contrastive Revisions: Addressing Underspecification in Alignment},
  author = {D'Oosterlinck, Karel and Xu, Winnie and Develder, Chris and Demeester, Thomas and Singh, Amanpreet and
            Potts, Christopher and Kiela, Douwe and Mehri, Shikib},
  year   = {2024},
  eprint = {2408.06266},
  archivePrefix = {arXiv}
}
"""


def counted(count: int, singular: str, plural: str | None = None) -> str:
    """A count with its noun: `1 pair`, `1,204 pairs`; `plural` is for a noun that does not only take an s."""
    return f"{count:,} {singular if count == 1 else plural or f'{singular}s'}"


def one_line_repr(value: object, of: object, *facts: str) -> str:
    """What the repr of a value says: its class, what it is `of`, and facts, on one line that is shortened where it is long."""
    line = f"<{type(value).__name__} of {of!s}: {', '.join(facts)}"
    line = "".join(character if character.isprintable() else "?" for character in line)
    return f"{line}>" if len(line) < _LONGEST_REPR else f"{line[: _LONGEST_REPR - 2]}…>"
