import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairgen.filters.filter import Candidate, Fault
from clairgen.filters.refusal import _REFUSAL, _may_refuse, refusal_in, refuses
from tests.filters.pairs import answer, pair

POEM = "The sea is wide and the night is long, and the wind sings on. " * 12


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("I'm sorry, but I can't assist with that.", "I can't assist"),
        ("I\u2019m really sorry, but I can\u2019t help with that request.", "I can't help"),
        ("I apologize, but I cannot provide instructions for picking locks.", "I cannot provide"),
        ("As an AI language model, I am not able to create such content.", "I am not able to create"),
        ("I don't feel comfortable writing this speech.", "I don't feel comfortable"),
        (
            "Thank you for asking. I understand that this matters. But I must respectfully decline.",
            "I must respectfully decline",
        ),
        ("I won't write that. Shall we talk about gardens?", "I won't write"),
        ("Sorry, I do not have access to real-time data.", "I do not have access to"),
        ("It would be inappropriate for me to share her address.", "It would be inappropriate for me to share"),
        ("I'm not going to do this.", "I'm not going to"),
        ("I cannot fulfill your request. I am just an AI, and kindness matters to me.", "I cannot fulfill"),
        ("I can't provide the lyrics. However, I can summarize the song if you like.", "I can't provide"),
        ("Es tut mir leid, aber ich kann dir dabei nicht helfen.", "ich kann dir dabei nicht helfen"),
        ("Lo siento, pero no puedo ayudar con eso.", "no puedo ayudar"),
        ("很抱歉，我无法提供这些信息。", "抱歉，我无法"),
    ],
)
def test_refusals_of_several_models(text: str, phrase: str) -> None:
    assert refusal_in(text) == phrase


@pytest.mark.parametrize(
    "text",
    [
        f"As an AI, I don't have feelings, but here is the poem:\n\n{POEM}",
        f"I can't provide live scores. However, here is how the league works. {POEM}",
        f"While I can't recall our earlier talk, I gladly help. {POEM}",
        "I'm sorry to hear that your cat is ill. Here are some steps.",
        "I'm not a doctor, but rest and water help with a cold.",
        "I can't help falling in love with the sea.",
        "I cannot stress enough how much water plants need.",
        "Sorry for the confusion: the Moon moves between the Earth and the Sun.",
        '"I can\'t help you," said the fox, and turned away.',
        'The fox said "I cannot help you" and went.',
        "Agent: I'm sorry, I can't help with refunds.\nCustomer: Why?",
        "Dear Ms Hall,\n\nI am unable to support the plan.",
        "Use `raise Rejection('I cannot help')` here.",
        "No, cats cannot create music.",
        f"{POEM} In the end I cannot provide a proof.",
        "",
    ],
)
def test_hedges_and_speech_are_no_refusals(text: str) -> None:
    assert refusal_in(text) is None


def test_a_refusal_names_the_side() -> None:
    no, yes = answer("I cannot help with that."), answer("Rain falls from clouds.")
    assert refuses(Candidate(pair(no, yes))) == Fault("chosen-refuses", "I cannot help")
    assert refuses(Candidate(pair(yes, no))) == Fault("rejected-refuses", "I cannot help")
    assert refuses(Candidate(pair(no, no))) == Fault("chosen-refuses", "I cannot help")
    assert refuses(Candidate(pair(yes, yes))) is None


@pytest.mark.parametrize(
    "text",
    [
        "I cannot recommend this restaurant enough! The pasta is superb.",
        "I can't tell you how happy I was to see you again.",
        "I'm not going to lie, this is the best pizza in town.",
    ],
)
def test_sayings_are_no_refusal(text: str) -> None:
    assert refusal_in(text) is None


@given(st.from_regex(_REFUSAL.search("i cannot help").re))  # type: ignore[union-attr]  # it is found, as the cases above show
def test_every_phrase_contains_a_sign(text: str) -> None:
    if found := _REFUSAL.search(text.lower()):
        assert _may_refuse(found[0]), found[0]
