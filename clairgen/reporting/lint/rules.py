"""The rules of lint: what each counts, how bad that is, and what to do about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Severity(StrEnum):
    """How bad a finding is: an error spoils training or its measurement, a warning may, a note is for you to know."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: `counts` says which pairs it finds, `advice` in one sentence what they do and what to do about them."""

    name: str
    severity: Severity
    counts: str
    advice: str


_RULES: Final = (
    Rule(
        "rows-without-a-pair",
        Severity.WARNING,
        "a row holds no pair, for one of the reasons listed; an error where no row holds one. The pairs that a run does not keep "
        "are listed, but are no finding",
        "Training stops at such rows, or leaves them out: fix or remove them.",
    ),
    Rule(
        "empty",
        Severity.ERROR,
        "an answer is blank",
        "The model learns to say nothing, or that anything is better than nothing: remove these pairs.",
    ),
    Rule(
        "identical",
        Severity.ERROR,
        "the two answers are the same, but for white space around them",
        "Nothing can be learned from such a pair, and some losses push both answers down: remove them.",
    ),
    Rule(
        "nearly-identical",
        Severity.WARNING,
        "the two answers differ in case, white space, punctuation or markup alone",
        "The model learns typography: remove these pairs, unless typography is what it should learn.",
    ),
    Rule(
        "small-difference",
        Severity.NOTE,
        "the two answers differ in at most one character in a hundred, and at most 1,000 (Levenshtein distance)",
        "All that can be learned is in those characters, which is right for minimal revisions: look at some.",
    ),
    Rule(
        "cut-off",
        Severity.ERROR,
        "the finish reason says that an answer was cut off at a limit of tokens",
        "The model learns to stop in mid-sentence: remove these pairs, or generate them with a higher max_tokens.",
    ),
    Rule(
        "seems-cut-off",
        Severity.NOTE,
        "an answer of at least 200 characters has a code fence that is never closed, or is written in sentences and ends in the "
        "middle of one: with a letter, comma, semicolon, dash or opening bracket, in a line of prose of five words or more",
        "This is a guess by how the text ends, since no finish reason is known: look at some, above all at chosen ones.",
    ),
    Rule(
        "thinking",
        Severity.ERROR,
        "an answer holds thinking, such as <think>, which its prompt does not speak of",
        "Thoughts are trained on as if they were the answer: take them off both answers, or keep them in a field of their own.",
    ),
    Rule(
        "control-tokens",
        Severity.ERROR,
        "an answer holds control tokens, such as <|im_end|>, which its prompt does not speak of",
        "The tokenizer reads them as ends and turns, so the answer ends or changes speaker early: remove them.",
    ),
    Rule(
        "control-tokens-in-prompt",
        Severity.WARNING,
        "a prompt holds control tokens or thinking tags, as where a chat template was applied to it already",
        "The template would be applied twice: give the conversation as messages.",
    ),
    Rule(
        "refusal",
        Severity.WARNING,
        "an answer declines in its first sentences and does not go on to answer",
        "Where the prompt is harmless, a chosen refusal teaches to decline, and a rejected one is too easy: look at both sides.",
    ),
    Rule(
        "space-on-one-side",
        Severity.WARNING,
        "one of the two answers alone begins or ends with white space",
        "It tells which answer is chosen before a word is read, and changes the first token: strip both answers.",
    ),
    Rule(
        "length-bias",
        Severity.WARNING,
        "chosen answers are the longer ones, in characters, more or less often than half of the time: the 95% interval of the "
        "share (pairs of one prompt are a cluster, equal lengths a half) excludes 50%; a note where the share is 45% to 55%",
        "The model learns length with or instead of quality: balance lengths, or train with a length-normalized loss.",
    ),
    Rule(
        "surface-cues",
        Severity.WARNING,
        "counts of surface features alone (length, lists, bold, openers, ...) tell chosen from rejected better than chance in "
        "pairs that they were not fitted to: the 95% interval of the AUC is above 0.5; a note where the AUC is below 0.55",
        "A reward model can learn these cues instead of quality: choose pairs in which they are balanced.",
    ),
    Rule(
        "repeated-pairs",
        Severity.WARNING,
        "a pair of the same split has the same prompt, chosen and rejected answer as an earlier one",
        "It weighs more than others in training, and makes intervals too narrow: keep one of each.",
    ),
    Rule(
        "swapped-pairs",
        Severity.ERROR,
        "a pair is an earlier one with its sides swapped: what is chosen here is rejected there",
        "The two contradict each other: keep the one that is right, or neither.",
    ),
    Rule(
        "repeated-prompts",
        Severity.NOTE,
        "a prompt of the same split was in an earlier row, with other answers; case and white space do not count",
        "Fine where a prompt is to have several pairs; then keep them all in one split.",
    ),
    Rule(
        "prompt-in-several-splits",
        Severity.ERROR,
        "a pair that is held out has a prompt that an earlier split has too; case and white space do not count",
        "What is measured on such pairs was trained on: keep each prompt in one split.",
    ),
    Rule(
        "near-duplicate-prompts",
        Severity.NOTE,
        "a prompt is nearly one of an earlier row of the split: by MinHash, four fifths of their three-word runs are the same",
        "They teach less than as many different prompts: thin them out, or know that they are variants.",
    ),
    Rule(
        "near-duplicates-across-splits",
        Severity.WARNING,
        "a prompt that is held out is nearly one of an earlier split, by the same rule",
        "What is measured on it was nearly trained on: keep variants of a prompt in one split.",
    ),
    Rule(
        "evaluation-overlap",
        Severity.ERROR,
        "a prompt shares a run of 13 words (or --ngram) with a text of the evaluation files that --against names; a shorter one "
        "has the same words as such a text",
        "What the evaluation measures was trained on: remove these pairs.",
    ),
    Rule(
        "false-tens",
        Severity.ERROR,
        "an answer has an overall_score of 10 beside ratings below 4 of 5 on average, as where UltraFeedback's first version "
        "read a critique's 1 as 10",
        "By overall_score bad answers win: use fine-grained_score, or a release of the data in which the scores are corrected.",
    ),
    Rule(
        "unchecked-tens",
        Severity.NOTE,
        "an answer has an overall_score (or score_chosen, in UltraFeedback binarized) of 10, and no ratings to check it by",
        "In UltraFeedback's first version many of these are a 1 that was misread: compare them with corrected scores.",
    ),
    Rule(
        "template-fails",
        Severity.ERROR,
        "the model's chat template cannot render the pair",
        "Training would stop there: fix or remove these rows, or give another --chat-template.",
    ),
    Rule(
        "template-without-end-token",
        Severity.ERROR,
        "the model's chat template renders an answer without any token at which the model stops",
        "The trained model would not learn to stop: give a --chat-template that ends answers with the model's end token.",
    ),
    Rule(
        "template-changes-prompt",
        Severity.ERROR,
        "the model's chat template renders the prompt differently once an answer follows",
        "Training drops such pairs, since parts of the prompt would count as the answer: give another --chat-template.",
    ),
    Rule(
        "template-changes-answer",
        Severity.WARNING,
        "the model's chat template changes the text of an answer, such as by leaving its thinking out",
        "What is trained on is not what the data say: look at some, and keep thoughts in a field of their own.",
    ),
    Rule(
        "template-makes-identical",
        Severity.ERROR,
        "the model's chat template renders two different answers as the same tokens",
        "Training drops such pairs: remove them, or give another --chat-template.",
    ),
    Rule(
        "special-tokens-in-text",
        Severity.ERROR,
        "the model's tokenizer reads a special token in the text of a message, such as its end token",
        "A text can end its own turn there: remove these tokens from the data.",
    ),
)
RULES: Final[Mapping[str, Rule]] = {rule.name: rule for rule in _RULES}
"""Every rule by the name of its findings."""
