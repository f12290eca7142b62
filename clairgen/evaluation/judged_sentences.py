"""What is said of verdicts on pairs of answers besides the shares: at equal lengths, ties, and the biases of the judge.

The sentences contain names that servers and users gave, as they are.
"""

from collections.abc import Mapping
from typing import Any, Final

from clairgen.evaluation.judged_figures import JudgedFigures
from clairgen.evaluation.results import EvaluationResult
from clairgen.wording import counted

_SIDES: Final[Mapping[str, str]] = {"answer": "model's answers", "opponent": "opponent's"}
_LONGEST_REVISION: Final = 19  # of the hash of a file's weights, with its name


def pair_sentences(result: EvaluationResult, *, brief: bool = False) -> list[str]:
    """What a reader has to know of verdicts on pairs besides the shares; `brief` is only what belongs beside them in a table."""
    figures = JudgedFigures(result)
    measured = result.record.kind == "judge"
    sentences = [] if brief else [_judge(figures, measured=measured)]
    if len(figures.served) > 1:
        named = ", ".join(f"{name} on {count:,}" for name, count in figures.served.items())
        sentences.append(f"The judge's server named more than one snapshot, which may judge differently: {named}")
    if not figures.preferred.n:
        return sentences
    sentences.append(_controlled(figures, measured=measured))
    if brief:
        return sentences
    sentences += [
        *_lengths(figures, measured=measured),
        _outcomes(figures, measured=measured),
    ]
    sentences += _biases(figures)
    if (every := figures.every_pair_right) is not None:
        sentences.append(f"Better than each of its row's worse answers, in both orders: {every.words}")
    if figures.cut_off:
        cut = ", ".join(f"{count:,} of the {_SIDES[name]}" for name, count in figures.cut_off.items())
        sentences.append(f"Cut off at max_tokens, and judged as they are: {cut}")
    if figures.left_out:
        reasons = ", ".join(f"{count:,} {why}" for why, count in figures.left_out.items())
        sentences.append(f"Rows of the file without a labelled pair: {reasons}")
    return sentences


def _judge(figures: JudgedFigures, *, measured: bool) -> str:
    facts = figures.judge
    known = [str(facts["model"])]
    if facts.get("revision"):
        known.append(f"revision {str(facts['revision'])[:_LONGEST_REVISION]}")
    elif len(figures.served) == 1 and str(facts["model"]) not in figures.served:
        known.append(f"served as {next(iter(figures.served))}")
    who = "Judge" if measured else "Judged by"
    against = figures.result.record.settings.get("subject", {}).get("opponent")
    versus = f", against {against}" if against else ""
    return f"{who} {', '.join(known)}, shown both orders{versus}; ties and verdicts that disagree count half"


def _controlled(figures: JudgedFigures, *, measured: bool) -> str:
    found = figures.controlled
    name = "Accuracy at equal lengths" if measured else "Length-controlled win rate"
    if found.mean is None or found.interval is None:
        return f"No {name[0].lower()}{name[1:]}: {found.problem}"
    low, high = (100 * end for end in found.interval)
    terms = "with instruction difficulty" if found.with_difficulty else "without instruction difficulty"
    near = figures.near
    beside = f"; of pairs about equally long {near.words}" if near.n else ""
    return f"{name}: {100 * found.mean:.1f}% ({low:.1f} to {high:.1f}), AlpacaEval 2's model {terms}{beside}"


def _lengths(figures: JudgedFigures, *, measured: bool) -> list[str]:
    overlap, lengths = figures.controlled.overlap, figures.mean_lengths
    first, second = ("better answer", "worse one") if measured else ("model", "opponent")
    sentences = []
    if lengths is not None:
        sentences.append(
            f"Lengths: the {first} {lengths[0]:,.0f} characters on average, the {second} {lengths[1]:,.0f}; of "
            f"{counted(overlap.prompts, 'prompt')} longer in {overlap.longer:,}, shorter in {overlap.shorter:,}"
        )
    if measured:
        sentences.append(
            f"Right where the better answer is longer: {figures.where_longer.words}; where it is shorter: "
            f"{figures.where_shorter.words}"
        )
    slope = figures.controlled.length_slope
    bias = f"; length slope {slope[0]:+.2f} ({slope[1]:+.2f} to {slope[2]:+.2f})" if slope is not None else ""
    sentences.append(f"Longer answer preferred: {figures.longer_preferred.words}{bias}")
    return sentences


def _outcomes(figures: JudgedFigures, *, measured: bool) -> str:
    outcomes: Mapping[str, Any] = figures.outcomes
    ties = ", ".join(f"{count:,} {why}" for why, count in outcomes.items() if why not in ("won", "lost"))
    won, lost = ("Right in both orders", "wrong in both") if measured else ("Won", "lost")
    return f"{won}: {outcomes.get('won', 0):,}, {lost}: {outcomes.get('lost', 0):,}, tied: {ties or 'none'}"


def _biases(figures: JudgedFigures) -> list[str]:
    first, flipped = figures.first_position, figures.flipped
    if first.low is None or first.high is None:
        return []
    leans = ""
    if first.low > 0.5 or first.high < 0.5:
        leans = f", so the judge leans to the {'first' if first.low > 0.5 else 'second'} position"
    sentences = [f"First position chosen: {first.words}{leans}"]
    if flipped.n:
        sentences.append(f"The order decided: {flipped.words} of the pairs with two verdicts")
    return sentences
