"""docker-compose.yml and the Dockerfile: valid by the specification, and everything that they name is there."""

import json
import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
import yaml

from clairgen.cli.app import app
from clairgen.cli.signals import SECONDS_TO_SUM_UP
from clairgen.config.file import load_config
from clairgen.pipeline.plans import plan_recipes

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)


def inside(service: dict[str, Any], path: str) -> Path | None:
    """Where a path in the container lies in this repository; None if a named volume holds it."""
    for mount in service["volumes"]:
        source, target, *_ = mount.split(":")
        if path.startswith(f"{target}/"):
            return ROOT / source / path.removeprefix(f"{target}/") if source.startswith(".") else None
    raise AssertionError(f"{path} lies on no volume")


def test_it_is_valid_by_the_compose_specification() -> None:
    schema = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    validator = jsonschema.Draft202012Validator(json.loads(schema.read_text()))
    assert [error.message for error in validator.iter_errors(COMPOSE)] == []
    assert [*validator.iter_errors(COMPOSE | {"services": {"target": {"imagee": "vllm"}}})]


def test_references_between_its_parts_hold() -> None:
    for service in SERVICES.values():
        for needed, condition in service.get("depends_on", {}).items():
            assert service["profiles"] == SERVICES[needed]["profiles"]
            assert condition != {"condition": "service_healthy"} or "healthcheck" in SERVICES[needed]
        for mount in service["volumes"]:
            source = mount.split(":")[0]
            assert (ROOT / source).is_dir() if source.startswith(".") else source in COMPOSE["volumes"]
        assert "healthcheck" in service
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])
    assert "\n.env\n" in (ROOT / ".gitignore").read_text()


@pytest.mark.parametrize("name", OURS)
def test_its_commands_are_commands_of_clairgen(name: str) -> None:
    commands: Any = typer.main.get_command(app)
    check = SERVICES[name]["healthcheck"]["test"]
    assert check[:2] == ["CMD", "clairgen"]
    for command, *arguments in (SERVICES[name]["command"], check[2:]):
        context = commands.commands[command].make_context(command, arguments)
        assert inside(SERVICES[name], str(context.params["run"])) is None  # it outlives the container


@pytest.mark.parametrize("name", OURS)
def test_its_configurations_are_there_and_whole(name: str) -> None:
    path = inside(SERVICES[name], SERVICES[name]["command"][1])
    assert path is not None
    config = load_config(path)
    plan_recipes(config, config.models)
    assert config.task_source.path is not None
    assert config.task_source.path.is_file()


def test_each_service_is_given_the_keys_that_it_reads_and_no_other() -> None:
    given = {name: service.get("environment", []) for name, service in SERVICES.items()}
    reads = {"target": ["HF_TOKEN"]}  # vLLM, for gated models
    for name in OURS:
        config = load_config(inside(SERVICES[name], SERVICES[name]["command"][1]) or ROOT)
        variables = {role.api_key_env for role in config.models.values() if role.api_key_env}
        reads[name] = sorted(variables.union(*(role.header_variables() for role in config.models.values())))
    assert given == reads
    assert not any("env_file" in service or "secrets" in service for service in SERVICES.values())
    documented = re.findall(r"^(\w+)=$", (ROOT / "data" / "examples" / "keys.env").read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(name for names in given.values() for name in names)


@pytest.mark.parametrize("name", OURS)
def test_it_is_killed_only_after_the_time_to_drain(name: str) -> None:
    command, *arguments = SERVICES[name]["command"]
    commands: Any = typer.main.get_command(app)
    drain_seconds = commands.commands[command].make_context(command, arguments).params["drain_seconds"]
    seconds = {"s": 1, "m": 60, "h": 3600}
    [(number, unit)] = re.findall(r"^(\d+)([smh])$", SERVICES[name]["stop_grace_period"])
    assert int(number) * seconds[unit] >= drain_seconds + SECONDS_TO_SUM_UP + 10


def test_the_target_that_is_served_is_the_one_that_is_asked() -> None:
    target = load_config(ROOT / "data" / "examples" / "vllm.yaml").models["target"]
    command = SERVICES["target"]["command"]
    assert target.model == command[command.index("--model") + 1]
    assert target.endpoints == [f"http://target:{command[command.index('--port') + 1]}/v1"]


def test_the_image_is_pinned_and_runs_as_nobody_special() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+-slim-\w+@sha256:[0-9a-f]{64}", bases[0])
    assert DOCKERFILE.index("\nUSER 10001\n") > DOCKERFILE.rindex("\nFROM ")
    assert "useradd --create-home --uid 10001 clairgen" in DOCKERFILE
    copied = re.findall(r"^COPY ([^-].*) \S+$", DOCKERFILE, re.MULTILINE)
    kept = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert sorted(name for line in copied for name in line.split()) == sorted(kept)
    assert all((ROOT / name).exists() for name in kept)
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    packages = [path for place in found["where"] for path in (ROOT / place).glob(found["include"][0]) if path.is_dir()]
    assert {str(path.relative_to(ROOT)) for path in packages if (path / "__init__.py").exists()} <= set(kept)
