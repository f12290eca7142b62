"""The kinds of question: how each is worded, drawn and solved.

A solution reads nothing but the fields of the prompt, so a prompt's text alone says what is right.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from random import Random

from clairgen.data.classroom import exercises
from clairgen.data.classroom.exercises import Fields, listed, numbers_in
from clairgen.data.classroom.tables import CAPITALS, DAYS, MONTHS, NUMBER_WORDS, OPPOSITES, PLURALS, WORDS

_PATTERNS = {
    "numbers": r"\d+(?:, \d+)+",
    "number": r"\d+",
    "other": r"\d+",
    "words": r"[a-z]+(?: [a-z]+)+",
    "list": r"[a-z]+(?:, [a-z]+)+",
    "word": r"[a-z]+",
    "name": r"[A-Z][a-z]+",
    "steps": r"\d (?:days?|months?)",
    "side": r"after|before",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind: prompt and answer wordings with `{field}` slots, what fills them, and the core of the right answer."""

    name: str
    prompts: tuple[str, ...]
    answers: tuple[str, ...]
    drawn: Callable[[Random], Fields]
    solved: Callable[[Fields], str]

    def fields(self, prompt: str) -> Fields | None:
        """What fills the slots in this prompt; None when it is not of this kind."""
        for wording in self.prompts:
            if match := _pattern(wording).fullmatch(prompt):
                return match.groupdict()
        return None


@cache
def _pattern(wording: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", lambda slot: f"(?P<{slot[1]}>{_PATTERNS[slot[1]]})", re.escape(wording)))


KINDS: tuple[Kind, ...] = (
    Kind(
        "sort",
        ("Sort these numbers: {numbers}.", "Put these numbers in order from small to large: {numbers}."),
        ("Sorted: {core}.", "The order is {core}."),
        exercises.some_numbers,
        lambda fields: listed(sorted(numbers_in(fields["numbers"]))),
    ),
    Kind(
        "sort-down",
        ("Sort these numbers from large to small: {numbers}.", "Put these numbers in descending order: {numbers}."),
        ("Sorted: {core}.", "The order is {core}."),
        exercises.some_numbers,
        lambda fields: listed(sorted(numbers_in(fields["numbers"]), reverse=True)),
    ),
    Kind(
        "largest",
        ("Which number is the largest: {numbers}?", "Find the largest number: {numbers}."),
        ("The largest number is {core}.", "It is {core}."),
        exercises.some_numbers,
        lambda fields: str(max(numbers_in(fields["numbers"]))),
    ),
    Kind(
        "smallest",
        ("Which number is the smallest: {numbers}?", "Find the smallest number: {numbers}."),
        ("The smallest number is {core}.", "It is {core}."),
        exercises.some_numbers,
        lambda fields: str(min(numbers_in(fields["numbers"]))),
    ),
    Kind(
        "even-odd",
        ("Is {number} even or odd?", "Tell me whether the number {number} is even or odd."),
        ("The number {number} is {core}.", "It is {core}."),
        exercises.one_number,
        lambda fields: "odd" if int(fields["number"]) % 2 else "even",
    ),
    Kind(
        "next",
        ("What comes next: {numbers}?", "Continue the sequence: {numbers}."),
        ("The next number is {core}.", "Next comes {core}."),
        exercises.sequence,
        exercises.next_number,
    ),
    Kind(
        "sum",
        ("What is {number} + {other}?", "Add {number} and {other}."),
        ("{number} + {other} = {core}.", "The sum is {core}."),
        exercises.two_numbers,
        lambda fields: str(int(fields["number"]) + int(fields["other"])),
    ),
    Kind(
        "count",
        ("How many times is the word {word} in this list: {words}?", "Count the word {word}: {words}."),
        ("The count of {word} is {core}.", "I count {core}."),
        exercises.word_among_others,
        lambda fields: NUMBER_WORDS[fields["words"].split().count(fields["word"])],
    ),
    Kind(
        "letters",
        (
            "How many letters are in the word {word}?",
            "Count the letters of the word {word}.",
            "How long is the word {word}?",
            "Tell me how many letters {word} has.",
        ),
        ("The word {word} has {core} letters.", "I count {core} letters."),
        exercises.one_word(WORDS),
        lambda fields: NUMBER_WORDS[len(fields["word"])],
    ),
    Kind(
        "backwards",
        (
            "Spell the word {word} backwards.",
            "Write the letters of the word {word} in reverse.",
            "How do you spell {word} backwards?",
            "Spell {word} from its last letter to its first.",
        ),
        ("Backwards: {core}.", "It is spelled {core}."),
        exercises.one_word(WORDS),
        lambda fields: " ".join(reversed(fields["word"])),
    ),
    Kind(
        "spelling",
        ("Fix the spelling: {words}.", "Correct the mistakes: {words}."),
        ("Correct: {core}.", "It should be {core}."),
        exercises.misspelt_sentence,
        exercises.well_spelt,
    ),
    Kind(
        "word-order",
        ("Reverse the order of these words: {words}.", "Write these words from last to first: {words}."),
        ("Reversed: {core}.", "The words are {core}."),
        exercises.some_words,
        lambda fields: " ".join(reversed(fields["words"].split())),
    ),
    Kind(
        "alphabet",
        ("Which word is first in the alphabet: {list}?", "Find the first word in alphabetical order: {list}."),
        ("The first word is {core}.", "First comes {core}."),
        exercises.words_of_distinct_initials,
        lambda fields: min(fields["list"].split(", ")),
    ),
    Kind(
        "plural",
        (
            "What is the plural of {word}?",
            "Give the plural form of the word {word}.",
            "What do you call more than one {word}?",
            "Write {word} in the plural.",
        ),
        ("The plural of {word} is {core}.", "More than one is {core}."),
        exercises.one_word(tuple(PLURALS)),
        lambda fields: PLURALS[fields["word"]],
    ),
    Kind(
        "opposite",
        (
            "What is the opposite of {word}?",
            "Give a word that means the opposite of {word}.",
            "Name the opposite of {word}.",
            "Which word is the opposite of {word}?",
        ),
        ("The opposite of {word} is {core}.", "The opposite word is {core}."),
        exercises.one_word(tuple(OPPOSITES)),
        lambda fields: OPPOSITES[fields["word"]],
    ),
    Kind(
        "capital",
        (
            "What is the capital of {name}?",
            "Name the capital city of {name}.",
            "Which city is the capital of {name}?",
            "Tell me the capital of {name}.",
        ),
        ("The capital of {name} is {core}.", "The capital city is {core}."),
        lambda random: {"name": random.choice(tuple(CAPITALS))},
        lambda fields: CAPITALS[fields["name"]],
    ),
    Kind(
        "day",
        (
            "What day is {steps} {side} {name}?",
            "Which day comes {steps} {side} {name}?",
            "Name the day {steps} {side} {name}.",
        ),
        ("It is {core}.", "The day is {core}."),
        exercises.steps_round(DAYS, "day"),
        exercises.stepped(DAYS),
    ),
    Kind(
        "month",
        (
            "What month is {steps} {side} {name}?",
            "Which month comes {steps} {side} {name}?",
            "Name the month {steps} {side} {name}.",
        ),
        ("It is {core}.", "The month is {core}."),
        exercises.steps_round(MONTHS, "month"),
        exercises.stepped(MONTHS),
    ),
)
