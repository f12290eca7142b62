"""Tokens are known by their hashes, expire, and never stand in a message."""

import hashlib
from pathlib import Path

import pytest

from clairgen.errors import ConfigError
from clairgen.service.tokens import Grant, Scope, read_tokens
from tests.service.served import ADAS, OLD, READ, REVIEW, RUN, TODAY, tokens_of


def test_each_token_allows_what_it_says_until_its_last_day(tmp_path: Path) -> None:
    tokens = tokens_of(tmp_path)
    assert [tokens.grant(one) for one in (READ, REVIEW, RUN, ADAS, OLD, "", None, READ.upper(), "ü\ud800")] == [
        Grant(Scope.READ),
        Grant(Scope.REVIEW),
        Grant(Scope.RUN),
        Grant(Scope.REVIEW, "ada"),
        *[None] * 5,
    ]
    assert tokens.are_needed


def test_where_no_token_is_known_none_is_needed() -> None:
    tokens = read_tokens({}, None, lambda: TODAY)
    assert (tokens.are_needed, tokens.grant(None)) == (False, Grant(Scope.RUN, is_of_token=False))


@pytest.mark.parametrize("token", ["", "short", "x" * 31, "x" * 20 + " " + "x" * 20, "ü" * 40])
def test_a_token_that_could_be_guessed_is_refused_without_being_printed(token: str) -> None:
    with pytest.raises(ConfigError, match="CLAIRGEN_TOKEN_READ is a token of at least 32 ASCII") as refused:
        read_tokens({"CLAIRGEN_TOKEN_READ": token}, None, lambda: TODAY)
    assert not token or token not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "tokens: []",
        "tokens: [{name: a, scope: run, sha256: x}]",
        f"tokens: [{{name: a, scope: everything, sha256: {'a' * 64}}}]",
        f"tokens: [{{name: a, scope: read, sha256: {'A' * 64}}}]",
        f"tokens: [{{name: '', scope: read, sha256: {hashlib.sha256(b'x').hexdigest()}}}]",
        f"tokens: [{{name: a, scope: read, token: {READ}}}]",
    ],
)
def test_a_file_that_is_not_understood_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokens.yaml").write_text(text)
    with pytest.raises(ConfigError, match="tokens") as refused:
        read_tokens({}, tmp_path / "tokens.yaml", lambda: TODAY)
    assert READ not in str(refused.value)


def test_each_scope_has_those_before_it_in_it() -> None:
    grants = [Grant(scope) for scope in (Scope.READ, Scope.REVIEW, Scope.RUN)]
    assert [(grant.reviews, grant.runs) for grant in grants] == [(False, False), (True, False), (True, True)]
