"""The paper's claims as comparisons that an experiment can decide: each agrees, disagrees, or cannot be told, by intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from clairgen.experiment.cells import Combination
from clairgen.experiment.crossed_interval import CrossedMean, crossed_mean
from clairgen.experiment.findings import Findings


class Ruling(StrEnum):
    """What an experiment says of a claim."""

    AGREES = "agrees"
    DISAGREES = "disagrees"
    CANNOT_TELL = "cannot tell"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class ClaimComparison:
    """One combination better than another, or than the untrained student (None)."""

    better: Combination
    than: Combination | None


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim, the paper's figures for it, the comparisons that it implies, and why a verdict may have come about."""

    title: str
    paper: str
    comparisons: Sequence[ClaimComparison]
    perhaps: Mapping[Ruling, str]


@dataclass(frozen=True, slots=True)
class JudgedClaim:
    """A claim with its verdict and the differences in points that it rests on; None for a comparison that was not run."""

    claim: Claim
    verdict: Ruling
    differences: Sequence[tuple[str, CrossedMean | None]]

    @property
    def perhaps(self) -> str:
        """Why the verdict may have come about; empty where nothing is to be said."""
        return self.claim.perhaps.get(self.verdict, "")


def _of(objective: str, data_set: str) -> Combination:
    return Combination(data_set, objective)


CLAIMS: Final[Sequence[Claim]] = (
    Claim(
        "Pairs of minimal revisions (CLAIR) teach the most",
        "APO-zero, max on MixEval-Hard 2024-06-01: CLAIR +7.65, on-policy judge +4.65, off-policy judge +0.80, Stronger "
        "Preferred -1.70",
        (
            ClaimComparison(_of("apo-zero", "clair"), None),
            *(
                ClaimComparison(_of("apo-zero", "clair"), _of("apo-zero", other))
                for other in ("judge-on-policy", "judge-off-policy", "stronger-preferred")
            ),
        ),
        {
            Ruling.AGREES: "the revisions differ from the student's answers where these are wrong and hardly elsewhere.",
            Ruling.DISAGREES: "another data set may hold as much contrast here: the student answers in few, short ways, so that "
            "two of its own answers to a question often differ in the mistake alone.",
            Ruling.CANNOT_TELL: "two answers of the student to a question often differ in the mistake alone, so that a judge's "
            "pairs are nearly as contrastive as revisions.",
        },
    ),
    Claim(
        "It is the contrast that teaches, not the strength of the model that wrote the winners",
        "the same model revised and answered afresh; APO-zero +7.65 against -1.70, DPO +0.55 against -5.00, KTO-pair +2.15 "
        "against -1.20",
        tuple(
            ClaimComparison(_of(objective, "clair"), _of(objective, "stronger-preferred"))
            for objective in ("apo-zero", "dpo", "kto-pair")
        ),
        {
            Ruling.AGREES: "a fresh answer of the teacher differs from the student's in its wording above all, and that is what "
            "an objective then learns.",
            Ruling.DISAGREES: "the teacher's words may be easy enough for the student to learn with as few pairs.",
            Ruling.CANNOT_TELL: "some objectives show the difference and others do not; see the differences.",
        },
    ),
    Claim(
        "The variant has to fit the pairs: APO-zero where winners beat the model, APO-down where they do not",
        "CLAIR: APO-zero +7.65, APO-down -1.05; off-policy judge: APO-zero +0.80, APO-down +2.70",
        (
            ClaimComparison(_of("apo-zero", "clair"), _of("apo-down", "clair")),
            ClaimComparison(_of("apo-down", "worse-winners"), _of("apo-zero", "worse-winners")),
        ),
        {
            Ruling.AGREES: "each variant moves the likelihood of the winners the way that their quality asks for.",
            Ruling.DISAGREES: "what decides may be the difference of the two answers, which both variants widen, more than the "
            "direction of each.",
            Ruling.CANNOT_TELL: "one half of the claim may show and the other not; see the differences.",
        },
    ),
    Claim(
        "Anchored training (APO-zero) makes more of CLAIR's pairs than DPO, KTO-pair and SFT",
        "CLAIR: APO-zero +7.65, DPO +0.55, KTO-pair +2.15, SFT +0.95",
        tuple(ClaimComparison(_of("apo-zero", "clair"), _of(other, "clair")) for other in ("dpo", "kto-pair", "sft")),
        {
            Ruling.AGREES: "winners that are surely better are worth raising, which DPO does not promise.",
            Ruling.DISAGREES: "where nearly every winner is right and in the student's own words, imitation is hard to beat, "
            "and a short training does not reach the point at which DPO lowers both likelihoods.",
            Ruling.CANNOT_TELL: "where nearly every winner is right and in the student's own words, all objectives learn much "
            "the same from them.",
        },
    ),
)
"""The paper's four claims, fixed before any test question was read."""

BEYOND: Final[Sequence[Claim]] = (
    Claim(
        "Where a reviser leaves faults, contrast is worth more than imitation: APO-zero beats SFT on CLAIR of one part",
        "not in the paper, whose reviser leaves faults as well but of unknown number",
        (ClaimComparison(_of("apo-zero", "clair-one-part"), _of("sft", "clair-one-part")),),
        {
            Ruling.AGREES: "what both answers share, right or wrong, weighs little in a contrast, and SFT imitates all of it.",
            Ruling.DISAGREES: "SFT may learn enough from the corrected part, and lose little by the other, which is as the "
            "student would have it anyway.",
            Ruling.CANNOT_TELL: "what SFT imitates of the other part is as the student would have it anyway.",
        },
    ),
)
"""What this miniature asks beyond the paper, fixed as early."""


def judged(claim: Claim, findings: Findings) -> JudgedClaim:
    """A claim decided by the last checkpoints: it agrees if every difference is above 0, and disagrees if one is below it."""
    differences = [(_named(one), _difference(one, findings)) for one in claim.comparisons]
    found = [difference for _, difference in differences if difference is not None]
    if any(one.is_below for one in found):
        verdict = Ruling.DISAGREES
    elif len(found) < len(differences):
        verdict = Ruling.NOT_RUN
    elif all(one.is_above for one in found):
        verdict = Ruling.AGREES
    else:
        verdict = Ruling.CANNOT_TELL
    return JudgedClaim(claim, verdict, differences)


def _difference(comparison: ClaimComparison, findings: Findings) -> CrossedMean | None:
    """The difference of the last checkpoints, question by question and seed by seed."""
    better = findings.results.get(comparison.better)
    if better is None:
        return None
    if comparison.than is None:
        return findings.gain(better.last)
    other = findings.results.get(comparison.than)
    shared = [seed for seed in better.seeds if other is not None and seed in other.seeds]
    if other is None or not shared:
        return None
    rows = [[of.seeds.index(seed) for seed in shared] for of in (better, other)]
    return crossed_mean((better.last[rows[0]] - other.last[rows[1]]).tolist())


def _named(comparison: ClaimComparison) -> str:
    """A comparison in words, the side that both share once."""
    one, other = comparison.better, comparison.than
    if other is None:
        return f"{one.objective} on {one.data_set}, over the student"
    if one.objective == other.objective:
        return f"{one.objective}: {one.data_set} over {other.data_set}"
    return f"{one.data_set}: {one.objective} over {other.objective}"
