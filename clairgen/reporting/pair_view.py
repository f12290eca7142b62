"""One pair in the terminal: what was asked, how the teacher reasoned, what changed word by word, and what was found."""

from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from clairgen.records import Answer, Contrast, FilterAction, Finding, Pair, ParseStatus, StoredPair
from clairgen.reporting.diff import Change, Stretch, word_diff
from clairgen.reporting.sanitize import plain_text, safe, safe_line

_UNDECIDED = {
    ParseStatus.NO_VERDICT,
    ParseStatus.CONTRADICTORY_VERDICT,
    ParseStatus.DECLARED_TIE,
    ParseStatus.TIE_BETWEEN_ORDERS,
    ParseStatus.TIE_BETWEEN_JUDGES,
    ParseStatus.EQUAL_SCORES,
    ParseStatus.MISSING_SCORE,
}
_STYLES = {Change.KEPT: "", Change.REMOVED: "red strike", Change.ADDED: "green"}
_BRACKETS = {Change.KEPT: ("", ""), Change.REMOVED: ("[-", "-]"), Change.ADDED: ("{+", "+}")}


class PairView:
    """A stored pair as rich prints it: `console.print(PairView(stored))`. Without colour the diff has brackets."""

    def __init__(self, stored: StoredPair) -> None:
        self.stored = stored

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The parts in the order in which the pair was made."""
        pair = self.stored.pair
        yield _heading(self.stored)
        for message in self.stored.task.messages:
            yield _rule(f"prompt: {message.role}")
            yield safe(message.content)
        if pair.reasoning is not None:
            yield _rule("teacher's reasoning")
            yield safe(pair.reasoning, "italic")
        if pair.chosen is None:
            yield from _undecided(pair)
        else:
            yield _rule("from rejected to chosen")
            coloured = console.color_system is not None and not console.no_color
            yield diff_text(word_diff(pair.rejected.text, pair.chosen.text), coloured=coloured)
        yield _rule("measured")
        yield _measured(self.stored)
        yield Text()


def _undecided(pair: Pair) -> Iterator[Text | Rule]:
    """A pair without a chosen answer: the two answers that nobody decided between, or the one that could not be parsed."""
    compared = pair.unparsed is not None and pair.parse_status in _UNDECIDED
    yield _rule("one answer" if compared else "rejected")
    yield safe(pair.rejected.text)
    if pair.unparsed is not None:
        yield _rule("the other answer" if compared else "the answer that could not be parsed")
        yield safe(pair.unparsed.text)


def diff_text(stretches: Sequence[Stretch], *, coloured: bool) -> Text:
    """A word diff to be read: removed red and struck through, added green, or `[-removed-]{+added+}` without colour."""
    text = Text()
    for stretch in stretches:
        shown = plain_text(_visible_space(stretch))
        if coloured:
            text.append(shown, _STYLES[stretch.change])
        else:
            before, after = _BRACKETS[stretch.change]
            text.append(f"{before}{shown}{after}")
    return text


def _visible_space(stretch: Stretch) -> str:
    """The stretch, with marks where whitespace alone was removed or added."""
    if stretch.change is Change.KEPT or not stretch.text.isspace():
        return stretch.text
    newline = "↵" if stretch.change is Change.REMOVED else "↵\n"
    return stretch.text.replace(" ", "·").replace("\n", newline)


def _heading(stored: StoredPair) -> Text:
    heading = safe_line(stored.id, "bold")
    return heading.append_text(safe_line(f"  {stored.pair.recipe}  task {stored.task.id}", "not bold"))


def _rule(title: str) -> Rule:
    return Rule(safe_line(title, "dim"), align="left", style="dim")


def _measured(stored: StoredPair) -> Table:
    pair, dropped_by = stored.pair, stored.dropped_by
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    if pair.chosen is not None:
        facts.add_row("chosen", _answer(pair.chosen, stored.chosen_model))
    facts.add_row("rejected", _answer(pair.rejected, stored.rejected_model))
    if stored.contrast is not None:
        facts.add_row("contrast", _contrast(stored.contrast))
    if pair.chosen is None:
        facts.add_row("chosen", safe_line(f"none: {pair.parse_status.value}"))
    if dropped_by is None and pair.chosen is not None:
        facts.add_row("kept", "")
    for finding in stored.findings:
        facts.add_row("dropped" if finding.action is FilterAction.DROP else "marked", _finding(finding))
    return facts


def _answer(answer: Answer, model: str | None) -> Text:
    text = f"{len(answer.text):,} characters by {model or 'an unnamed model'}, finish reason {answer.finish_reason}"
    return safe_line(text)


def _contrast(contrast: Contrast) -> Text:
    ratio = "undefined" if contrast.length_ratio is None else f"{contrast.length_ratio:.2f}"
    return safe_line(
        f"Jaccard {100 * contrast.jaccard:.2f} x100 ({contrast.tokenizer} tokens), "
        f"Levenshtein {contrast.levenshtein:,} characters, length ratio {ratio}"
    )


def _finding(finding: Finding) -> Text:
    value = f"{finding.value:g}" if isinstance(finding.value, float) else finding.value
    measured = "" if value is None else f": {value}"
    return safe_line(f"{finding.reason} (filter {finding.filter}){measured}")
