"""What fills the slots of each kind's prompt, and how it is worked out, step by step.

A working reads nothing but the fields of the prompt, so a prompt's text alone says what is right.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from clairgen.data.classroom.tables import (
    CAPITALS,
    COUNTRIES,
    GROUP_MEMBERS,
    GROUPS,
    MEANT,
    NAMES,
    OPPOSITES,
    THINGS,
    TYPOS,
    WORDS,
)

Fields = Mapping[str, str]

_LAST_START_HOUR = 19


@dataclass(frozen=True, slots=True)
class Working:
    """The steps that lead to a result, and the result: one word, number or time, without a space."""

    steps: tuple[str, ...]
    result: str


def items_in(text: str) -> list[str]:
    """The items of a list as `listed` writes it."""
    return text.split(", ")


def listed(items: Sequence[object]) -> str:
    """Items as text, "3, 1, 2"."""
    return ", ".join(map(str, items))


def _numbers_in(fields: Fields) -> list[int]:
    return [int(item) for item in items_in(fields["numbers"])]


def numbers(fewest: int, most: int) -> Callable[[Random], Fields]:
    """A drawing of distinct numbers of two digits."""
    return lambda random: {"numbers": listed(random.sample(range(10, 100), random.randint(fewest, most)))}


def words_of(table: Sequence[str], fewest: int, most: int, slot: str = "list") -> Callable[[Random], Fields]:
    """A drawing of distinct words of a table."""
    return lambda random: {slot: listed(random.sample(table, random.randint(fewest, most)))}


def two_numbers(random: Random) -> Fields:
    """Two numbers of three digits."""
    return {"first": str(random.randint(100, 999)), "second": str(random.randint(100, 999))}


def number_and_less(random: Random) -> Fields:
    """Two numbers of three digits, the first greater by a hundred or more."""
    first = random.randint(200, 999)
    return {"first": str(first), "second": str(random.randint(100, first - 100))}


def added(fields: Fields) -> Working:
    """Column addition, from the right."""
    steps, carry = [], 0
    for one, other in zip(reversed(fields["first"]), reversed(fields["second"]), strict=True):
        column = int(one) + int(other) + carry
        steps.append(f"{one}+{other}{'+1' if carry else ''}={column}")
        carry = column // 10
    return Working(tuple(steps), str(int(fields["first"]) + int(fields["second"])))


def subtracted(fields: Fields) -> Working:
    """Column subtraction, from the right; a column that borrows begins ten higher, and the next one takes one off."""
    steps, borrow = [], 0
    for one, other in zip(reversed(fields["first"]), reversed(fields["second"]), strict=True):
        lacks = int(one) - borrow < int(other)
        top = int(one) + 10 * lacks
        steps.append(f"{top}{'-1' if borrow else ''}-{other}={top - borrow - int(other)}")
        borrow = int(lacks)
    if borrow:
        raise ValueError(f"{fields['second']} is more than {fields['first']}")
    return Working(tuple(steps), str(int(fields["first"]) - int(fields["second"])))


def _beaten(values: Sequence[int]) -> tuple[tuple[str, ...], int]:
    """Each value compared with the greatest so far, and the greatest."""
    steps, greatest = [], values[0]
    for value in values[1:]:
        steps.append(f"{max(greatest, value)}>{min(greatest, value)}")
        greatest = max(greatest, value)
    return tuple(steps), greatest


def largest(fields: Fields) -> Working:
    """The greatest of some numbers."""
    steps, greatest = _beaten(_numbers_in(fields))
    return Working(steps, str(greatest))


def middle(fields: Fields) -> Working:
    """The number that stands in the middle of an odd count when they are put in order."""
    ordered = sorted(_numbers_in(fields))
    return Working(("<".join(map(str, ordered)),), str(ordered[len(ordered) // 2]))


def ages(random: Random) -> Fields:
    """Three people of distinct ages."""
    names, years = random.sample(NAMES, 3), random.sample(range(10, 100), 3)
    return {f"{slot}_{i}": str(value) for i in range(3) for slot, value in (("name", names[i]), ("age", years[i]))}


def oldest(fields: Fields) -> Working:
    """Who has the greatest age."""
    names = {int(fields[f"age_{i}"]): fields[f"name_{i}"] for i in range(3)}
    steps, greatest = _beaten(list(names))
    return Working(steps, names[greatest])


def evens(fields: Fields) -> Working:
    """How many numbers are even."""
    values = _numbers_in(fields)
    steps = tuple(f"{value} {'odd' if value % 2 else 'even'}" for value in values)
    return Working(steps, str(sum(value % 2 == 0 for value in values)))


def word_among_others(random: Random) -> Fields:
    """A word, and a list of seven to nine in which it stands one to five times."""
    word, length = random.choice(THINGS), random.randint(7, 9)
    times = random.randint(1, 5)
    words = [word] * times + random.choices([thing for thing in THINGS if thing != word], k=length - times)
    random.shuffle(words)
    return {"word": word, "words": " ".join(words)}


def counted(fields: Fields) -> Working:
    """How often the word stands in the list, counting along."""
    steps, count = [], 0
    for word in fields["words"].split():
        count += word == fields["word"]
        steps.append(f"{word} {count}" if word == fields["word"] else word)
    return Working((" ".join(steps),), str(count))


def letters(fields: Fields) -> Working:
    """How many letters some words have together."""
    words = items_in(fields["list"])
    total = sum(map(len, words))
    return Working(
        (*(f"{word} {len(word)}" for word in words), f"{'+'.join(str(len(w)) for w in words)}={total}"), str(total)
    )


def words_of_distinct_initials(random: Random) -> Fields:
    """Four or five words, no two of which begin alike."""
    by_initial = {word[0]: word for word in random.sample(WORDS, 20)}
    return {"list": listed(random.sample(list(by_initial.values()), random.randint(4, 5)))}


def alphabetically_first(fields: Fields) -> Working:
    """The word whose initial comes first."""
    words = items_in(fields["list"])
    return Working(tuple(f"{word} {word[0]}" for word in words), min(words))


def misspelt_among_others(random: Random) -> Fields:
    """Three or four words, one of them with a typo."""
    words = random.sample(WORDS, random.randint(3, 4))
    words[random.randrange(len(words))] = random.choice(TYPOS)
    return {"list": listed(words)}


def well_spelt(fields: Fields) -> Working:
    """The misspelt word as it should be."""
    (typo,) = (word for word in items_in(fields["list"]) if word in MEANT)
    return Working((f"{typo} is misspelt",), MEANT[typo])


def _with_others(random: Random, answer: str, others: Sequence[str], count: int) -> str:
    """The answer and distinct others in any order."""
    options = [answer, *random.sample([other for other in others if other != answer], count)]
    random.shuffle(options)
    return listed(options)


def word_and_opposites(random: Random) -> Fields:
    """A word, and its opposite among two or three other words."""
    word = random.choice(tuple(OPPOSITES))
    others = [other for other in OPPOSITES if other != word]
    return {"word": word, "list": _with_others(random, OPPOSITES[word], others, random.randint(2, 3))}


def opposite(fields: Fields) -> Working:
    """The word in the list that is the opposite."""
    options = items_in(fields["list"])
    (answer,) = (option for option in options if OPPOSITES[option] == fields["word"])
    return Working(tuple(f"{option} {OPPOSITES[option]}" for option in options), answer)


def country_and_cities(random: Random) -> Fields:
    """A country, and its capital among two or three others."""
    country = random.choice(tuple(CAPITALS))
    return {
        "country": country,
        "list": _with_others(random, CAPITALS[country], tuple(COUNTRIES), random.randint(2, 3)),
    }


def capital(fields: Fields) -> Working:
    """The city in the list that is the country's capital."""
    cities = items_in(fields["list"])
    (answer,) = (city for city in cities if COUNTRIES[city] == fields["country"])
    return Working(tuple(f"{city} {COUNTRIES[city]}" for city in cities), answer)


def group_and_stranger(random: Random) -> Fields:
    """Three words of one group and one of another."""
    group, other = random.sample(tuple(GROUP_MEMBERS), 2)
    words = [*random.sample(GROUP_MEMBERS[group], 3), random.choice(GROUP_MEMBERS[other])]
    random.shuffle(words)
    return {"list": listed(words)}


def stranger(fields: Fields) -> Working:
    """The word that alone is of its group."""
    words = items_in(fields["list"])
    groups = [GROUPS[word] for word in words]
    (answer,) = (word for word in words if groups.count(GROUPS[word]) == 1)
    return Working(tuple(f"{word} {GROUPS[word]}" for word in words), answer)


def start_and_length(random: Random) -> Fields:
    """A time of day, and a length of one to three hours and some minutes."""
    return {
        "time": f"{random.randint(1, _LAST_START_HOUR)}:{random.randint(0, 59):02}",
        "hours": str(random.randint(1, 3)),
        "minutes": str(random.randint(10, 59)),
    }


def end_time(fields: Fields) -> Working:
    """When what starts then and lasts so long ends."""
    hour, minute = (int(part) for part in fields["time"].split(":"))
    hours, minutes = int(fields["hours"]), int(fields["minutes"])
    total = minute + minutes
    steps = [f"{minute:02}+{minutes}={total}"]
    if total >= 60:
        steps += [f"{total}-60={total - 60:02}", f"{hour}+{hours}+1={hour + hours + 1}"]
    else:
        steps += [f"{hour}+{hours}={hour + hours}"]
    return Working(tuple(steps), f"{hour + hours + total // 60}:{total % 60:02}")
