"""docker-compose.yml and the Dockerfile: valid by the specification, and everything that they name is there."""

import datetime
import json
import re
import shutil
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
import yaml

from clairgen.cli.app import app
from clairgen.cli.signals import SECONDS_TO_DRAIN, SECONDS_TO_SUM_UP
from clairgen.config.file import load_config
from clairgen.pipeline.plans import plan_recipes
from clairgen.service.policy import policy_of
from clairgen.service.request_checks import HEALTH_PATHS
from clairgen.service.runs_root import NotPermittedError, RunsRoot
from clairgen.service.submitted_config import checked
from clairgen.service.tokens import READ_VARIABLE, REVIEW_VARIABLE, RUN_VARIABLE, read_tokens

ROOT = Path(__file__).parent.parent
KEYS = ROOT / "data" / "examples" / "keys.env"
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", TEXT))  # as without a variable set
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)
RUNS = ("classroom", "generate")
"""Those that make one run by a configuration."""
PARAMETERS = {"serve": "root", "train": "data"}
"""What a command calls the folder that it works on, if not `run`."""


def inside(service: dict[str, Any], path: str) -> Path | None:
    """Where a path in the container lies in this repository; None if a named volume holds it."""
    for mount in sorted(service["volumes"], key=lambda one: -len(one.split(":")[1])):  # the innermost one counts
        source, target, *_ = mount.split(":")
        if path == target or path.startswith(f"{target}/"):
            return ROOT / source / path.removeprefix(target).lstrip("/") if source.startswith(".") else None
    raise AssertionError(f"{path} lies on no volume")


def parameters(name: str) -> dict[str, Any]:
    """The parameters of the command that a service of ours runs."""
    command, *arguments = SERVICES[name]["command"]
    commands: Any = typer.main.get_command(app)
    found: dict[str, Any] = commands.commands[command].make_context(command, list(arguments)).params
    return found


def seconds(duration: str) -> int:
    """A duration of the compose file."""
    [(number, unit)] = re.findall(r"^(\d+)([smh])$", duration)
    return int(number) * {"s": 1, "m": 60, "h": 3600}[unit]


def test_it_is_valid_by_the_compose_specification() -> None:
    schema = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    validator = jsonschema.Draft202012Validator(json.loads(schema.read_text()))
    assert [error.message for error in validator.iter_errors(COMPOSE)] == []
    assert [*validator.iter_errors(COMPOSE | {"services": {"target": {"imagee": "vllm"}}})]


def test_references_between_its_parts_hold() -> None:
    for service in SERVICES.values():
        for needed, condition in service.get("depends_on", {}).items():
            assert condition != {"condition": "service_healthy"} or "test" in SERVICES[needed]["healthcheck"]
        for mount in service["volumes"]:
            source = mount.split(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
        assert set(service.get("secrets", [])) <= COMPOSE["secrets"].keys()
        assert "healthcheck" in service
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])
    assert "\n.env\n" in (ROOT / ".gitignore").read_text()


def test_up_starts_what_its_comment_says() -> None:
    started = {
        profile: {name for name, one in SERVICES.items() if one.get("profiles", [profile]) == [profile]}
        for profile in ("", "gpu", "observe")
    }
    assert started == {"": {"serve"}, "gpu": {"serve", "target"}, "observe": {"serve", "prometheus", "grafana"}}
    for command in re.findall(r"^#   docker compose (.*?)(?:  .*)?$", TEXT, re.MULTILINE):
        words = [word for word in command.split() if word not in ("up", "run", "--rm", "--profile")]
        assert set(words) <= SERVICES.keys() | started.keys(), command


@pytest.mark.parametrize("name", OURS)
def test_its_commands_are_commands_of_clairgen(name: str) -> None:
    folder = parameters(name)[PARAMETERS.get(name, "run")]
    assert inside(SERVICES[name], str(folder)) is None  # it outlives the container
    check = SERVICES[name]["healthcheck"].get("test", [])
    if name in RUNS:
        commands: Any = typer.main.get_command(app)
        assert check[:2] == ["CMD", "clairgen"]
        assert commands.commands[check[2]].make_context(check[2], check[3:]).params["run"] == folder


@pytest.mark.parametrize("name", RUNS)
def test_its_configurations_are_there_and_whole(name: str) -> None:
    path = inside(SERVICES[name], SERVICES[name]["command"][1])
    assert path is not None
    config = load_config(path)
    plan_recipes(config, config.models)
    assert config.task_source.path is not None
    assert config.task_source.path.is_file()


def variables_of(name: str) -> set[str]:
    """The variables that the configuration of a service names."""
    config = load_config(inside(SERVICES[name], SERVICES[name]["command"][1]) or ROOT)
    variables = {role.api_key_env for role in config.models.values() if role.api_key_env}
    return variables.union(*(role.header_variables() for role in config.models.values()))


def test_each_service_is_given_the_keys_that_it_reads_and_no_other() -> None:
    given = {name: service.get("environment", []) for name, service in SERVICES.items()}
    assert all(name.startswith("GF_") for name in given.pop("grafana"))  # settings, and none of them a password
    of_jobs = set().union(*map(variables_of, RUNS))
    reads = {name: variables_of(name) for name in RUNS}
    reads |= {"target": {"HF_TOKEN"}, "train": {"HF_TOKEN"}, "prometheus": set()}  # for gated models
    reads["serve"] = of_jobs | {READ_VARIABLE, REVIEW_VARIABLE, RUN_VARIABLE}
    assert set(parameters("serve")["allow_env"]) == of_jobs
    assert {name: set(variables) for name, variables in given.items()} == reads
    assert COMPOSE["secrets"] == {"read-token": {"environment": READ_VARIABLE}}
    assert [name for name, service in SERVICES.items() if "secrets" in service] == ["prometheus"]
    assert not any("env_file" in service for service in SERVICES.values())
    documented = re.findall(r"^#?([A-Z_]+)=", KEYS.read_text(), re.MULTILINE)
    named = set().union(*given.values()) | set(re.findall(r"\$\{(\w+)", TEXT))
    assert sorted(documented) == sorted(named)


def test_nothing_that_others_can_reach_is_published_and_the_service_needs_a_token() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in published)
    served = parameters("serve")
    assert served["host"] == "0.0.0.0"  # noqa: S104 - in the container
    assert f"127.0.0.1:{served['port']}:{served['port']}" in published
    assert served["allow_host"] == ["localhost"]
    set_in_file = dict(re.findall(r"^([A-Z_]+)=(.*)$", KEYS.read_text(), re.MULTILINE))
    as_copied = read_tokens(set_in_file, None, lambda: datetime.date(2026, 6, 1))
    assert not as_copied.are_needed  # so that the service refuses to start with a sentence


def test_what_we_build_can_write_only_where_it_should() -> None:
    for name in OURS:
        service = SERVICES[name]
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert service["tmpfs"] == ["/tmp", "/home/clairgen"]  # noqa: S108 - the container's own
        writable = [mount.split(":")[1] for mount in service["volumes"] if not mount.endswith(":ro")]
        assert writable == json.loads(re.findall(r"^VOLUME (.*)$", DOCKERFILE, re.MULTILINE)[0]) == ["/runs", "/cache"]
    assert all(
        service["security_opt"] == ["no-new-privileges:true"] for name, service in SERVICES.items() if name != "target"
    )


@pytest.mark.parametrize("name", [*RUNS, "serve"])
def test_it_is_killed_only_after_the_time_to_drain(name: str) -> None:
    drain_seconds = parameters(name).get("drain_seconds", SECONDS_TO_DRAIN)
    assert seconds(SERVICES[name]["stop_grace_period"]) >= drain_seconds + SECONDS_TO_SUM_UP + 10


def test_health_is_asked_where_the_service_answers() -> None:
    [address] = re.findall(r"urlopen\('(.*?)'", SERVICES["serve"]["healthcheck"]["test"][-1])
    assert address == f"http://127.0.0.1:{parameters('serve')['port']}{HEALTH_PATHS[1]}"
    prometheus = yaml.safe_load((ROOT / "data" / "observe" / "prometheus.yml").read_text())
    [scraped] = prometheus["scrape_configs"]
    assert scraped["static_configs"] == [{"targets": [f"serve:{parameters('serve')['port']}"]}]
    assert scraped["authorization"] == {"credentials_file": f"/run/secrets/{SERVICES['prometheus']['secrets'][0]}"}
    datasource = yaml.safe_load((ROOT / "data" / "observe" / "datasource.yml").read_text())["datasources"][0]
    dashboard = json.loads((ROOT / "data" / "observe" / "dashboard.json").read_text())
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"] if "datasource" in panel} == {datasource["uid"]}


def test_the_target_that_is_served_is_the_one_that_is_asked() -> None:
    target = load_config(ROOT / "data" / "examples" / "vllm.yaml").models["target"]
    command = SERVICES["target"]["command"]
    assert target.model == command[command.index("--model") + 1]
    assert target.endpoints == [f"http://target:{command[command.index('--port') + 1]}/v1"]


@pytest.mark.parametrize("name", RUNS)
def test_the_service_may_do_what_the_examples_ask_for(name: str, tmp_path: Path) -> None:
    serve, path = parameters("serve"), SERVICES[name]["command"][1].removeprefix("/runs/")
    shutil.copytree(ROOT / "data" / "examples", tmp_path / "config")
    policy = policy_of(RunsRoot(tmp_path), serve["allow_env"], serve["allow_endpoint"], hub=serve["allow_hub"])
    submitted = (tmp_path / path).read_text().replace("path: ", "path: config/")
    assert checked(submitted, policy).recipes
    with pytest.raises(NotPermittedError):
        checked(submitted.replace("path: config/", "path: ../"), policy)


def test_each_image_that_is_built_is_a_stage_of_the_dockerfile_and_tagged_by_its_name() -> None:
    stages = re.findall(r"^FROM .* AS (\S+)$", DOCKERFILE, re.MULTILINE)
    for name in OURS:
        target = SERVICES[name]["build"]["target"]
        assert target in stages
        assert SERVICES[name]["image"].split(":")[0] == target
    assert re.findall(r"^#CLAIRGEN_IMAGE=(.*)$", KEYS.read_text(), re.MULTILINE) == ["clairgen-train"]
    assert stages[-1] == "clairgen"  # what is built without naming one


def test_the_image_is_pinned_and_runs_as_nobody_special() -> None:
    stages = re.findall(r"^FROM .* AS (\S+)$", DOCKERFILE, re.MULTILINE)
    bases = {base for base in re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) if base not in stages}
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.\d+-slim-\w+@sha256:[0-9a-f]{64}", bases.pop())
    base = DOCKERFILE.index(" AS base\n")
    assert base < DOCKERFILE.index("\nUSER 10001\n")
    assert "\nUSER " not in DOCKERFILE[:base]
    assert re.findall(r"^FROM (\S+) AS clairgen", DOCKERFILE, re.MULTILINE) == ["base", "base"]
    assert "useradd --create-home --uid 10001 clairgen" in DOCKERFILE
    copied = re.findall(r"^COPY ([^-].*) \S+$", DOCKERFILE, re.MULTILINE)
    kept = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert sorted(name for line in copied for name in line.split()) == sorted(kept)
    assert all((ROOT / name).exists() for name in kept)
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    packages = [path for place in found["where"] for path in (ROOT / place).glob(found["include"][0]) if path.is_dir()]
    assert {str(path.relative_to(ROOT)) for path in packages if (path / "__init__.py").exists()} <= set(kept)
