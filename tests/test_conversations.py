"""Messages as JSON text are recognized as such, and nothing of a message or a row is lost without a word."""

import json
import re

import pytest

from clairgen.conversations import messages_in, unsupported_column, unsupported_message

USER = {"role": "user", "content": "2 + 2?"}


def test_the_json_of_messages_is_read_whatever_the_order_of_its_keys() -> None:
    conversation = [{"role": "system", "content": "Be brief."}, USER]
    assert messages_in(json.dumps(conversation)) == conversation
    assert messages_in(f"\n {json.dumps(conversation, indent=2)} ") == conversation
    assert messages_in('[{"tool_calls": null, "content": "x", "role": "user"}]') is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "2 + 2?",
        "[1, 2, 3]",
        "[",
        '"quoted"',
        '["What is this?"]',
        "{student_solution} {% for x in y %}",
        '{"a": {"role": "user"}}',
        'Explain [{"role": "user", "content": "x"}] to me.',
        '[{"role": "user", "content": "x"}] is what I sent. What is it?',
        "[" * 100_000,
    ],
)
def test_any_other_text_is_no_conversation(text: str) -> None:
    assert messages_in(text) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (str([USER]), "not valid JSON"),
        ("[{'role': 'user', 'content': 'x'}\n {'role': 'user', 'content': 'y'}]", "not valid JSON"),
        (json.dumps([USER])[:-2] + "]", "not valid JSON"),
        (json.dumps(USER), "single message"),
        (json.dumps({"role": ["user"], "content": ["x"]}), "single message"),
        (json.dumps({"messages": [USER]}), "object that holds messages"),
        (json.dumps({"conversations": [{"from": "human", "value": "x"}]}), "object that holds messages"),
        (json.dumps(json.dumps([USER])), "JSON text within JSON text"),
        (json.dumps([json.dumps(USER)]), "JSON text themselves"),
    ],
)
def test_text_that_is_meant_as_messages_and_is_no_list_of_them_is_an_error(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        messages_in(text)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"role": "tool", "content": "18", "tool_call_id": "c1"}, "the role `tool`"),
        ({"role": "assistant", "content": "", "tool_calls": [{"id": "c1"}]}, "`tool_calls`; tool calls are not"),
        ({"role": "assistant", "content": "", "function_call": {"name": "f"}}, "`function_call`"),
        ({"role": "user", "content": [{"type": "text", "text": "x"}]}, "a list of parts, which is not supported"),
        ({"role": "user", "content": [{"type": "image_url"}, {"type": "text"}]}, r"parts \(image_url\)"),
        ({"role": "user", "content": "x", "name": "alice"}, "`name`; names of speakers"),
        ({"role": "assistant", "content": "x", "reasoning_content": "hm"}, "`reasoning_content`; thoughts"),
        ({"from": "human", "value": "x"}, "ShareGPT"),
    ],
)
def test_what_a_message_would_lose_is_named(message: dict[str, object], said: str) -> None:
    found = unsupported_message(message)
    assert found is not None
    assert re.search(said, found)


def test_fields_without_a_value_are_no_loss() -> None:
    """Parquet gives every message every field."""
    empty: dict[str, object] = {
        "tool_calls": None,
        "name": "",
        "function_call": None,
        "images": [],
        "reasoning_content": None,
    }
    assert unsupported_message(USER | empty) is None
    assert unsupported_column({"tools": None, "images": [], "system": " ", "functions": "[]"}) is None


def test_what_a_row_would_lose_is_named() -> None:
    assert "`tools`" in (unsupported_column({"tools": [{"type": "function"}]}) or "")
    assert "first message" in (unsupported_column({"system": "Be brief."}) or "")
