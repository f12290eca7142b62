"""What fills the slots of each kind's prompt, and what follows from it."""

from collections.abc import Callable, Mapping
from random import Random

from clairgen.data.classroom.tables import DETERMINERS, MEANT, THINGS, VERBS, WORDS, typos

Fields = Mapping[str, str]


def numbers_in(text: str) -> list[int]:
    """The numbers of a list as `listed` writes it."""
    return [int(number) for number in text.split(", ")]


def listed(numbers: list[int]) -> str:
    """Numbers as text, "3, 1, 2"."""
    return ", ".join(str(number) for number in numbers)


def some_numbers(random: Random) -> Fields:
    """Three to five distinct numbers under 100."""
    return {"numbers": listed(random.sample(range(1, 100), random.randint(3, 5)))}


def one_number(random: Random) -> Fields:
    """A number under 1000."""
    return {"number": str(random.randint(1, 999))}


def sequence(random: Random) -> Fields:
    """Four numbers with equal steps between them."""
    first, step = random.randint(1, 60), random.randint(1, 10)
    return {"numbers": listed([first + step * i for i in range(4)])}


def next_number(fields: Fields) -> str:
    """The number that continues a sequence of equal steps."""
    numbers = numbers_in(fields["numbers"])
    return str(2 * numbers[-1] - numbers[-2])


def two_numbers(random: Random) -> Fields:
    """Two numbers up to 50."""
    return {"number": str(random.randint(1, 50)), "other": str(random.randint(1, 50))}


def word_among_others(random: Random) -> Fields:
    """A word, and a list in which it stands one to five times."""
    word = random.choice(THINGS)
    others = [thing for thing in THINGS if thing != word]
    words = [word] * random.randint(1, 5) + random.choices(others, k=random.randint(1, 4))
    random.shuffle(words)
    return {"word": word, "words": " ".join(words)}


def one_word(words: tuple[str, ...]) -> Callable[[Random], Fields]:
    """A drawing of one of these words."""
    return lambda random: {"word": random.choice(words)}


def some_words(random: Random) -> Fields:
    """Three to five distinct things."""
    return {"words": " ".join(random.sample(THINGS, random.randint(3, 5)))}


def words_of_distinct_initials(random: Random) -> Fields:
    """Two to four words, no two of which begin alike."""
    by_initial = {word[0]: word for word in random.sample(WORDS, 12)}
    return {"list": ", ".join(random.sample(list(by_initial.values()), random.randint(2, 4)))}


def misspelt_sentence(random: Random) -> Fields:
    """A five-word sentence with a typo in one or both of its nouns."""
    words = [random.choice(choices) for choices in (DETERMINERS, WORDS, VERBS, DETERMINERS, WORDS)]
    for place in random.sample((1, 4), random.randint(1, 2)):
        words[place] = random.choice([typo for typo in sorted(typos(words[place])) if typo in MEANT])
    return {"words": " ".join(words)}


def well_spelt(fields: Fields) -> str:
    """The sentence with each typo replaced by the word that was meant."""
    return " ".join(MEANT.get(word, word) for word in fields["words"].split())


def steps_round(names: tuple[str, ...], unit: str) -> Callable[[Random], Fields]:
    """A drawing of a name and how many steps to go from it, forwards or back, round the circle of names."""

    def drawn(random: Random) -> Fields:
        steps = random.randint(1, 6)
        plural = "" if steps == 1 else "s"
        return {
            "steps": f"{steps} {unit}{plural}",
            "side": random.choice(("after", "before")),
            "name": random.choice(names),
        }

    return drawn


def stepped(names: tuple[str, ...]) -> Callable[[Fields], str]:
    """A solution that goes the steps round the circle of names."""

    def solved(fields: Fields) -> str:
        steps = int(fields["steps"].split()[0]) * (1 if fields["side"] == "after" else -1)
        return names[(names.index(fields["name"]) + steps) % len(names)]

    return solved
