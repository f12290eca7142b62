"""One pair in the terminal: the prompt, the reasoning, the word diff, the metrics and what the filters found."""

from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from clairgen.finish_reason import RECORDED
from clairgen.recipes.registry import RECIPES
from clairgen.records import Answer, Contrast, FilterAction, Finding, Pair, StoredPair, Undecided
from clairgen.reporting.diff import DiffOp, DiffSegment, word_diff
from clairgen.reporting.sanitize import plain_text, safe, safe_line
from clairgen.reporting.score_tables import table_of_pair
from clairgen.store import HUMAN_REVISION, CastVote, JudgeReply, ScoreReply, Thoughts
from clairgen.wording import counted

_STYLES = {DiffOp.KEPT: "", DiffOp.REMOVED: "red strike", DiffOp.ADDED: "green"}
_BRACKETS = {DiffOp.KEPT: ("", ""), DiffOp.REMOVED: ("[-", "-]"), DiffOp.ADDED: ("{+", "+}")}


class PairView:
    """A stored pair as a rich renderable: `console.print(PairView(stored))`. Without color the diff uses brackets.

    `replies` are those of judges and `score_replies` those of scorers, for where they decided nothing. `thoughts` are counted,
    and shown with `shows_thoughts`; `votes` are those of people. `made_by` is the recipe, where the pair has another name for it.
    """

    def __init__(
        self,
        stored: StoredPair,
        replies: Sequence[JudgeReply] = (),
        thoughts: Sequence[Thoughts] = (),
        score_replies: Sequence[ScoreReply] = (),
        votes: Sequence[CastVote] = (),
        *,
        shows_thoughts: bool = False,
        made_by: str | None = None,
    ) -> None:
        self.stored = stored
        self.replies = replies
        self.thoughts = thoughts
        self.score_replies = score_replies
        self.votes = votes
        self.shows_thoughts = shows_thoughts
        self.made_by = made_by or stored.outcome.recipe

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The parts in the order in which the pair was made."""
        outcome = self.stored.outcome
        yield _heading(self.stored)
        for message in self.stored.task.messages:
            yield _rule(f"prompt: {message.role}")
            yield safe(message.content)
        for thoughts in self.thoughts if self.shows_thoughts else ():
            yield _rule(f"thoughts of the {thoughts.role}, {thoughts.model}")
            yield safe(thoughts.text, "italic")
        if outcome.reasoning is not None:
            yield _rule(whose_reasoning(self.made_by))
            yield safe(outcome.reasoning, "italic")
        match outcome:
            case Undecided():
                yield from _undecided(outcome)
                for reply in self.replies:
                    yield _rule(whose_reply(reply))
                    yield safe(reply.text)
                for scored in self.score_replies:
                    yield _rule(about_which_answer(scored, outcome))
                    yield safe(scored.text)
            case Pair(chosen=chosen, rejected=rejected):
                yield _rule("from rejected to chosen")
                colored = console.color_system is not None and not console.no_color
                yield diff_text(word_diff(rejected.text, chosen.text), colored=colored)
        if outcome.scores:
            yield _rule("scores")
            yield table_of_pair(outcome)
        yield _rule("measured")
        facts = _measured(self.stored, self.votes)
        if self.thoughts:
            facts.add_row("thoughts", _thoughts(self.thoughts, shown=self.shows_thoughts))
        yield facts
        yield Text()


def _undecided(undecided: Undecided) -> Iterator[Text | Rule]:
    """The answers that nobody decided between, or the answer and the reply in which no revision could be read."""
    titles = ("one answer (1)", "the other answer (2)") if len(undecided.answers) > 1 else ("the answer",)
    for title, answer in zip(titles, undecided.answers, strict=True):
        yield _rule(title)
        yield safe(answer.text)
    if undecided.unparsed is not None:
        yield _rule("the reply that could not be parsed")
        yield safe(undecided.unparsed.text)


def diff_text(segments: Sequence[DiffSegment], *, colored: bool) -> Text:
    """A word diff: removed text red and struck through, added text green; without color `[-removed-]{+added+}`."""
    text = Text()
    for segment in segments:
        shown = plain_text(visible_space(segment.text, segment.change))
        if colored:
            text.append(shown, _STYLES[segment.change])
        else:
            before, after = _BRACKETS[segment.change]
            text.append(f"{before}{shown}{after}")
    return text


def visible_space(text: str, change: DiffOp) -> str:
    """The text of a segment; whitespace is made visible where nothing else was removed or added."""
    if change is DiffOp.KEPT or not text.isspace():
        return text
    newline = "↵" if change is DiffOp.REMOVED else "↵\n"
    return text.replace(" ", "·").replace("\n", newline)


def _heading(stored: StoredPair) -> Text:
    heading = safe_line(stored.id, "bold")
    return heading.append_text(safe_line(f"  {stored.outcome.recipe}  task {stored.task.id}", "not bold"))


def whose_reply(reply: JudgeReply) -> str:
    """What a judge's reply is about, and what was read in it."""
    first, second = reply.shown
    read = reply.status if reply.winner is None else f"answer {reply.winner} is better"
    return f"reply of the {reply.role}, shown answer {first} first and answer {second} second: {read}"


def about_which_answer(reply: ScoreReply, outcome: Pair | Undecided) -> str:
    """What a scorer's reply is about, and what was read in it."""
    if isinstance(outcome, Pair):
        known = {outcome.chosen.identity: "the chosen answer", outcome.rejected.identity: "the rejected answer"}
    else:
        known = {answer.identity: f"answer {number}" for number, answer in enumerate(outcome.answers, start=1)}
    return f"reply of the {reply.scorer} about {known.get(reply.answer, 'another answer')}: {reply.status}"


def whose_reasoning(recipe: str) -> str:
    """Whose reasoning pairs of a recipe have."""
    if recipe == HUMAN_REVISION:
        return "what the editor says"
    known = RECIPES.built_in.get(recipe)
    if known is None:
        return "reasoning"
    if "critic" in known.templates:
        return "feedback of the critic"
    return "reasoning of the reviser" if known.revises else "reasoning of a judge"


def _rule(title: str) -> Rule:
    return Rule(safe_line(title, "dim"), align="left", style="dim")


def _measured(stored: StoredPair, votes: Sequence[CastVote]) -> Table:
    outcome, dropped_by = stored.outcome, stored.dropped_by
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    match outcome:
        case Pair(chosen=chosen, rejected=rejected):
            facts.add_row("chosen", _answer(chosen))
            facts.add_row("rejected", _answer(rejected))
            if stored.contrast is not None:
                facts.add_row("contrast", _contrast(stored.contrast))
            if dropped_by is None:
                facts.add_row("kept", "")
        case Undecided(answers=answers, reason=reason):
            for answer in answers:
                facts.add_row("answer", _answer(answer))
            facts.add_row("chosen", safe_line(f"none: {reason.value}"))
    if outcome.failed_check is not None:
        facts.add_row("failed check", safe_line(outcome.failed_check))
    for name, value in stored.source_columns.items():
        facts.add_row(safe_line(name), safe_line(str(value)))
    for finding in stored.findings:
        facts.add_row("dropped" if finding.action is FilterAction.DROP else "marked", _finding(finding))
    for cast in votes:
        facts.add_row("vote", _vote(cast))
    return facts


def _answer(answer: Answer) -> Text:
    size = counted(len(answer.text), "character")
    if answer.finish_reason == RECORDED:
        ending = "from the data set, finish reason not known"
    else:
        ending = f"finish reason {answer.finish_reason}"
    return safe_line(f"{size} by {answer.model or 'an unnamed model'}, {ending}")


def _thoughts(thoughts: Sequence[Thoughts], *, shown: bool) -> Text:
    sizes = ", ".join(f"{counted(len(one.text), 'character')} of the {one.role}" for one in thoughts)
    return safe_line(f"{sizes}, no part of the pair{'' if shown else ' (--thinking shows them)'}")


def _vote(cast: CastVote) -> Text:
    note = f": {cast.note}" if cast.note else ""
    return safe_line(f"{cast.vote.value} by {cast.voter}, {cast.created_at[:10]}{note}")


def _contrast(contrast: Contrast) -> Text:
    ratio = "undefined" if contrast.length_ratio is None else f"{contrast.length_ratio:.2f}"
    return safe_line(
        f"Jaccard {100 * contrast.jaccard:.2f} x100 ({contrast.tokenizer} tokens), "
        f"Levenshtein {counted(contrast.levenshtein, 'character')}, length ratio {ratio}"
    )


def _finding(finding: Finding) -> Text:
    value = f"{finding.value:g}" if isinstance(finding.value, float) else finding.value
    measured = "" if value is None else f": {value}"
    return safe_line(f"{finding.reason} (filter {finding.filter}){measured}")
