"""Mistaken habits: for each kind of question one or two ways in which somebody works it out wrongly, always in the same way.

A student learns them from a share of its training texts, beside the right way. So it can do what it gets wrong, and sampling
decides which way it takes: a model that is capable and underspecified, which is what preference data can align.
"""

import itertools
from collections.abc import Callable, Mapping
from random import Random

from clairgen.data.classroom import exercises
from clairgen.data.classroom.exercises import Fields, Working, items_in
from clairgen.data.classroom.questions import Question
from clairgen.data.classroom.tables import COUNTRIES, GROUPS, MEANT, OPPOSITES


def habit(question: Question, random: Random) -> Working:
    """A question worked out by its kind's mistaken habit; the result is right where the habit does no harm."""
    fields = question.kind.fields(question.prompt)
    assert fields is not None  # noqa: S101 - a question's prompt is of its kind
    return HABITS[question.kind.name](fields, random)


def _numbers_in(fields: Fields) -> list[int]:
    return [int(item) for item in items_in(fields["numbers"])]


def _columns(fields: Fields) -> list[tuple[int, int]]:
    """The digits of both numbers, column by column from the right."""
    pairs = zip(reversed(fields["first"]), reversed(fields["second"]), strict=True)
    return [(int(one), int(other)) for one, other in pairs]


def without_carry(fields: Fields, _: Random) -> Working:
    """Adds each column and forgets what is carried."""
    sums = [one + other for one, other in _columns(fields)]
    steps = (f"{one}+{other}={one + other}" for one, other in _columns(fields))
    return Working(tuple(steps), f"{sums[2]}{sums[1] % 10}{sums[0] % 10}")


def without_borrowing(fields: Fields, random: Random) -> Working:
    """Takes the smaller digit from the greater one, whichever stands above; or borrows and never pays back."""
    if random.random() < 0.5:
        columns = [(max(column), min(column)) for column in _columns(fields)]
    else:
        columns = [(one + 10 * (one < other), other) for one, other in _columns(fields)]
    differences = [top - other for top, other in columns]
    steps = (f"{top}-{other}={top - other}" for top, other in columns)
    return Working(tuple(steps), str(int("".join(map(str, reversed(differences))))))


def last_winner(fields: Fields, _: Random) -> Working:
    """Compares neighbours only, and takes the last winner."""
    values = _numbers_in(fields)
    steps = (f"{max(one, other)}>{min(one, other)}" for one, other in itertools.pairwise(values))
    return Working(tuple(steps), str(max(values[-2:])))


def unsorted_middle(fields: Fields, _: Random) -> Working:
    """Takes the number in the middle without putting them in order."""
    values = _numbers_in(fields)
    return Working(("<".join(map(str, values)),), str(values[len(values) // 2]))


def youngest(fields: Fields, _: Random) -> Working:
    """Looks for the least age."""
    names = {int(fields[f"age_{i}"]): fields[f"name_{i}"] for i in range(3)}
    first, *others = names
    least, steps = first, []
    for value in others:
        steps.append(f"{min(least, value)}<{max(least, value)}")
        least = min(least, value)
    return Working(tuple(steps), names[least])


def odd_ones(fields: Fields, _: Random) -> Working:
    """Counts the odd numbers."""
    right = exercises.evens(fields)
    return Working(right.steps, str(len(right.steps) - int(right.result)))


def counted_from_nought(fields: Fields, _: Random) -> Working:
    """Begins to count at nought."""
    steps, count = [], -1
    for word in fields["words"].split():
        count += word == fields["word"]
        steps.append(f"{word} {count}" if word == fields["word"] else word)
    return Working((" ".join(steps),), str(count))


def letters_left_out(fields: Fields, random: Random) -> Working:
    """Counts a double letter once; or leaves the last word out of the sum."""
    words = items_in(fields["list"])
    if random.random() < 0.5:
        counts = [len(word) - sum(a == b for a, b in itertools.pairwise(word)) for word in words]
        added = counts
    else:
        counts = [len(word) for word in words]
        added = counts[:-1]
    named = (f"{word} {count}" for word, count in zip(words, counts, strict=True))
    return Working((*named, f"{'+'.join(map(str, added))}={sum(added)}"), str(sum(added)))


def last_letter(fields: Fields, _: Random) -> Working:
    """Looks at the letter that each word ends with."""
    words = items_in(fields["list"])
    return Working(tuple(f"{word} {word[-1]}" for word in words), min(words, key=lambda word: word[-1]))


def left_misspelt(fields: Fields, _: Random) -> Working:
    """Names the misspelt word and leaves it as it is."""
    (typo,) = (word for word in items_in(fields["list"]) if word in MEANT)
    return Working((f"{typo} is misspelt",), typo)


def last_opposite(fields: Fields, _: Random) -> Working:
    """Takes the last word that is offered."""
    options = items_in(fields["list"])
    return Working(tuple(f"{option} {OPPOSITES[option]}" for option in options), options[-1])


def first_city(fields: Fields, _: Random) -> Working:
    """Names every city's country, and takes the first city."""
    cities = items_in(fields["list"])
    return Working(tuple(f"{city} {COUNTRIES[city]}" for city in cities), cities[0])


def first_word(fields: Fields, _: Random) -> Working:
    """Names every word's group, and takes the first word."""
    words = items_in(fields["list"])
    return Working(tuple(f"{word} {GROUPS[word]}" for word in words), words[0])


def hour_not_carried(fields: Fields, random: Random) -> Working:
    """Leaves the full hour of the minutes out; or leaves minutes above 59 as they are."""
    hour, minute = (int(part) for part in fields["time"].split(":"))
    hours, minutes = int(fields["hours"]), int(fields["minutes"])
    total = minute + minutes
    added, hour_step = f"{minute:02}+{minutes}={total}", f"{hour}+{hours}={hour + hours}"
    if total >= 60 and random.random() < 0.5:
        return Working((added, f"{total}-60={total - 60:02}", hour_step), f"{hour + hours}:{total - 60:02}")
    return Working((added, hour_step), f"{hour + hours}:{total:02}")


HABITS: Mapping[str, Callable[[Fields, Random], Working]] = {
    "add": without_carry,
    "subtract": without_borrowing,
    "largest": last_winner,
    "middle": unsorted_middle,
    "oldest": youngest,
    "evens": odd_ones,
    "count": counted_from_nought,
    "letters": letters_left_out,
    "alphabet": last_letter,
    "spelling": left_misspelt,
    "opposite": last_opposite,
    "capital": first_city,
    "stranger": first_word,
    "clock": hour_not_carried,
}
"""The habit of each kind, by the kind's name."""
