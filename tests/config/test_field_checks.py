"""Keys that stand in a configuration are refused without being printed; names of variables are not taken for keys."""

import random
import string
from pathlib import Path
from typing import Any

import pytest
import yaml

from clairgen.config.field_checks import contains_key, is_variable_name
from clairgen.config.file import load_config
from clairgen.errors import ConfigError

SECRET = "S3cr3tS3cr3tS3cr3t"  # noqa: S105 - of nobody
KEYS = [
    "sk-proj-abcDEF1234567890ghiJKL",
    "hf_aBcDeFgHiJkLmNoPqRsTuVwXyZabcd1234",
    "gsk_abcDEF1234567890ghiJKLmnop",
    "AIzaSyA1234567890abcdefghijklmnopqrstu",
    "sk-ant-api03-abcDEF1234567890_ghiJKL-x",
    "xai-abcDEF1234567890ghiJKL",
    "AKIAIOSFODNN7EXAMPLE",
]


def refusal(tmp_path: Path, **target: Any) -> str:  # noqa: ANN401 - any field of a role
    role = {"model": "m", "endpoints": ["http://localhost:8000/v1"]}
    content = {
        "recipes": ["clair"],
        "tasks": {"path": "tasks.jsonl"},
        "models": {"target": role | target, "reviser": role},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    return str(caught.value)


@pytest.mark.parametrize("key", [*KEYS, "a1b2c3d4e5f60718293a4b5c6d7e8f90", "Bearer abc", "0123456789", "my.key", ""])
def test_a_key_in_place_of_its_variables_name_is_refused_and_not_printed(key: str, tmp_path: Path) -> None:
    sentence = refusal(tmp_path, api_key_env=key)
    assert "models.target.api_key_env: it " in sentence
    assert "looks like an API key" in sentence
    assert not key or key not in sentence


@pytest.mark.parametrize(
    "name",
    [
        "OPENAI_API_KEY",
        "HF_TOKEN",
        "hf_token",
        "key2",
        "AZURE_OPENAI_API_KEY_SWEDEN_2",
        "clairgenKeyForStagingServer2024",
        "K8S_GPU_A100_H100_V2_KEY_X1",
    ],
)
def test_names_of_variables_are_taken(name: str) -> None:
    assert is_variable_name(name)


def test_random_letters_and_digits_are_hardly_ever_taken_for_a_name() -> None:
    draw = random.Random(0)
    keys = ["k" + "".join(draw.choices(string.ascii_letters + string.digits, k=31)) for _ in range(1000)]
    assert sum(map(is_variable_name, keys)) < 5


@pytest.mark.parametrize(
    "endpoint",
    [
        f"http://user:{SECRET}@host/v1",
        f"HTTPS://user:{SECRET}@host/v1",
        f" http://user:{SECRET}@host/v1",
        f"http:user:{SECRET}@host/v1",
        f"http:///user:{SECRET}@host/v1",
        f"https:\\\\user:{SECRET}@host/v1",
        f"http://user:{SECRET}%40host/v1",
        f"http://user:{SECRET}%2540host/v1",
        f"http://user:{SECRET}\uff20host/v1",
        f"http://user:[{SECRET}@host/v1",
        f"http://{SECRET}@host:99999/v1",
        f"user:{SECRET}@host",
        f"//user:{SECRET}@host/v1",
    ],
)
def test_a_user_name_or_password_in_a_url_is_refused_in_any_spelling_and_not_printed(
    endpoint: str, tmp_path: Path
) -> None:
    sentence = refusal(tmp_path, endpoints=[endpoint])
    assert "must not hold a user name or password" in sentence
    assert SECRET not in sentence


@pytest.mark.parametrize(
    "endpoint",
    ["http://999.999.999.999/v1", "http://1.2.3.256/v1", "http://a|b/v1", "http://a%20b/v1", "http://h:99999"],
)
def test_a_url_that_nothing_can_be_sent_to_is_refused(endpoint: str, tmp_path: Path) -> None:
    pytest.importorskip("pyreqwest")
    assert "models.target.endpoints:" in refusal(tmp_path, endpoints=[endpoint])


@pytest.mark.parametrize(
    "extra",
    [
        {"api_key": SECRET},
        {"Api-Key": SECRET},
        {"extra_headers": {"x": SECRET}},
        {"authorization": SECRET},
        {"metadata": {"password": SECRET}},
        {"metadata": [{"note": f"use {KEYS[0]}"}]},
        {"metadata": {KEYS[0]: 1}},
    ],
)
def test_secrets_among_further_fields_are_refused_and_not_printed(extra: dict[str, Any], tmp_path: Path) -> None:
    sentence = refusal(tmp_path, extra=extra)
    assert "holds a secret or HTTP headers" in sentence
    assert SECRET not in sentence
    assert KEYS[0] not in sentence


@pytest.mark.parametrize("field", ["model", "system", "revision"])
@pytest.mark.parametrize("key", KEYS)
def test_what_looks_like_a_key_is_refused_wherever_it_stands(field: str, key: str, tmp_path: Path) -> None:
    sentence = refusal(tmp_path, **{field: f"see {key}"})
    assert f"models.target.{field}: it contains what looks like an API key" in sentence
    assert key not in sentence


def test_schemas_of_answers_may_have_a_property_called_password(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"password": {"type": "string"}}}
    sentence = refusal(tmp_path, extra={"response_format": {"json_schema": schema}}, top_p=7)
    assert "models.target.top_p" in sentence


@pytest.mark.parametrize(
    "name",
    [
        "sk-llama-3-8b-instruct-v2-long-context",
        "pplx-70b-online",
        "xai-org/grok-2-1212",
        "hf_transfer_of_a_long_name_2",
    ],
)
def test_names_of_models_are_not_taken_for_keys(name: str) -> None:
    assert not contains_key(name)
