"""The kinds of question: how each is worded, drawn and worked out, and how the teacher begins and ends its answer."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from random import Random

from clairgen.data.classroom import exercises
from clairgen.data.classroom.exercises import Fields, Working
from clairgen.data.classroom.tables import WORDS

_PATTERNS = {
    "first": r"[1-9]\d\d",
    "second": r"[1-9]\d\d",
    "numbers": r"\d+(?:, \d+)+",
    "words": r"[a-z]+(?: [a-z]+)+",
    "list": r"[A-Za-z]+(?:, [A-Za-z]+)+",
    "word": r"[a-z]+",
    "country": r"[A-Z][a-z]+",
    "time": r"\d?\d:[0-5]\d",
    "hours": r"\d",
    "minutes": r"\d\d",
    **{f"name_{i}": r"[A-Z][a-z]+" for i in range(3)},
    **{f"age_{i}": r"\d\d" for i in range(3)},
}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of question.

    `prompts` are wordings with `{field}` slots; `opening` is the teacher's first sentence, `closing` its last one, with a
    `{result}` slot; `drawn` fills the slots, and `worked` leads from them to the result.
    """

    name: str
    prompts: tuple[str, ...]
    opening: str
    closing: str
    drawn: Callable[[Random], Fields]
    worked: Callable[[Fields], Working]

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
        "add",
        ("What is {first} + {second}?", "Add {first} and {second}.", "What is the sum of {first} and {second}?"),
        "Let us add the digits column by column, beginning on the right:",
        "Read from the last column to the first, the sum is {result}.",
        exercises.two_numbers,
        exercises.added,
    ),
    Kind(
        "subtract",
        ("What is {first} - {second}?", "Take {second} from {first}.", "How much is {first} less {second}?"),
        "Let us subtract column by column, beginning on the right and borrowing where we must:",
        "Read from the last column to the first, the difference is {result}.",
        exercises.number_and_less,
        exercises.subtracted,
    ),
    Kind(
        "largest",
        ("Which number is the largest: {numbers}?", "Find the largest number: {numbers}."),
        "Let us go through the numbers and keep the greater one each time:",
        "The one that is never beaten, and so the largest, is {result}.",
        exercises.numbers(4, 5),
        exercises.largest,
    ),
    Kind(
        "middle",
        ("Which number is in the middle by size: {numbers}?", "What is the median of {numbers}?"),
        "Let us put the numbers in order first:",
        "The number with as many below it as above it is {result}.",
        exercises.numbers(3, 3),
        exercises.middle,
    ),
    Kind(
        "oldest",
        (
            "{name_0} is {age_0}, {name_1} is {age_1} and {name_2} is {age_2}. Who is the oldest?",
            "Who is the oldest: {name_0} who is {age_0}, {name_1} who is {age_1} or {name_2} who is {age_2}?",
        ),
        "Let us compare the ages one after another:",
        "The greatest age is that of {result}.",
        exercises.ages,
        exercises.oldest,
    ),
    Kind(
        "evens",
        ("How many of these numbers are even: {numbers}?", "Count the even numbers: {numbers}."),
        "Let us look at the last digit of each number:",
        "The count of even numbers is {result}.",
        exercises.numbers(4, 6),
        exercises.evens,
    ),
    Kind(
        "count",
        ("How many times is the word {word} in this list: {words}?", "Count the word {word}: {words}."),
        "Let us go along the list and count each time we meet the word:",
        "When we reach the end, the count is {result}.",
        exercises.word_among_others,
        exercises.counted,
    ),
    Kind(
        "letters",
        ("How many letters do these words have together: {list}?", "Count all letters of these words: {list}."),
        "Let us count the letters of each word and add them up:",
        "The number of letters in all is {result}.",
        exercises.words_of(WORDS, 3, 3),
        exercises.letters,
    ),
    Kind(
        "alphabet",
        ("Which word is first in the alphabet: {list}?", "Find the first word in alphabetical order: {list}."),
        "Let us look at the letter with which each word begins:",
        "The earliest of these letters belongs to {result}.",
        exercises.words_of_distinct_initials,
        exercises.alphabetically_first,
    ),
    Kind(
        "spelling",
        ("One of these words is misspelt; how should it be written: {list}?", "Correct the misspelt word: {list}."),
        "Let us read each word letter by letter:",
        "Written as it should be, the word is {result}.",
        exercises.misspelt_among_others,
        exercises.well_spelt,
    ),
    Kind(
        "opposite",
        ("Which of these words is the opposite of {word}: {list}?", "Find the opposite of {word} among {list}."),
        "Let us name the opposite of each word that is offered:",
        "The word that we were asked for is {result}.",
        exercises.word_and_opposites,
        exercises.opposite,
    ),
    Kind(
        "capital",
        ("Which of these cities is the capital of {country}: {list}?", "Find the capital of {country} among {list}."),
        "Let us say of which country each city is the capital:",
        "The capital that we were asked for is {result}.",
        exercises.country_and_cities,
        exercises.capital,
    ),
    Kind(
        "stranger",
        ("Which word does not belong with the others: {list}?", "Find the odd one out: {list}."),
        "Let us say what each of these words stands for:",
        "The only one of its sort is {result}.",
        exercises.group_and_stranger,
        exercises.stranger,
    ),
    Kind(
        "clock",
        (
            "A film starts at {time} and lasts {hours} h {minutes} min. When does it end?",
            "A train leaves at {time} and travels for {hours} h {minutes} min. When does it arrive?",
        ),
        "Let us add the minutes first and then the hours:",
        "The clock will then show {result}.",
        exercises.start_and_length,
        exercises.end_time,
    ),
)
