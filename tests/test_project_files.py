"""Files for other programs (workflows, issue forms, hooks, CITATION.cff): valid by their schemas, and in agreement."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from check_jsonschema.cli import main as check_jsonschema

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").iterdir())
SCHEMAS = {
    ".github/dependabot.yml": "dependabot",
    ".github/ISSUE_TEMPLATE/bug.yml": "github-issue-forms",
    ".github/ISSUE_TEMPLATE/feature.yml": "github-issue-forms",
    ".github/ISSUE_TEMPLATE/config.yml": "github-issue-config",
    "CITATION.cff": "citation-file-format",
} | {f".github/workflows/{path.name}": "github-workflows" for path in WORKFLOWS}


def load(name: str) -> dict[str, Any]:
    """A YAML file of the repository. The key `on` of a workflow, which YAML 1.1 takes for true, is given back its name."""
    content: dict[Any, Any] = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return {"on" if key is True else key: value for key, value in content.items()}


JOBS = {
    (path.name, job): facts
    for path in WORKFLOWS
    for job, facts in load(f".github/workflows/{path.name}")["jobs"].items()
}
STEPS = [(*where, step) for where, job in JOBS.items() for step in job["steps"]]
HOOKS = [(repo, hook) for repo in load(".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]


def complaints(schema: str, path: Path) -> str:
    """What check-jsonschema says against a file by a schema that it ships; empty for a valid one."""
    arguments = ["--builtin-schema", f"vendor.{schema}", "--default-filetype", "yaml", str(path)]
    with contextlib.redirect_stdout(io.StringIO()) as output, pytest.raises(SystemExit) as ended:
        check_jsonschema(arguments)
    return "" if ended.value.code == 0 else output.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEMAS)
def test_it_is_valid_by_its_schema(name: str) -> None:
    assert complaints(SCHEMAS[name], ROOT / name) == ""


@pytest.mark.parametrize("schema", sorted(set(SCHEMAS.values())))
def test_the_schema_refuses_what_is_wrong(schema: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text("jobs: 3\nupdates: 3\nblank_issues_enabled: perhaps\nbody: 3\ncff-version: 1\n", encoding="utf-8")
    assert "Schema validation errors" in complaints(schema, wrong)


def test_every_file_that_github_reads_is_checked() -> None:
    found = {path.relative_to(ROOT).as_posix() for path in (ROOT / ".github").rglob("*.yml")}
    assert found == {name for name in SCHEMAS if name.startswith(".github/")}


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_a_job_has_a_time_limit_and_only_the_permissions_that_it_names(workflow: str, job: str) -> None:
    assert load(f".github/workflows/{workflow}")["permissions"] == {}
    assert JOBS[workflow, job]["timeout-minutes"] <= 75
    assert JOBS[workflow, job]["permissions"].get("contents", "read") == "read"


def test_every_action_is_pinned_by_commit_with_its_version_beside_it() -> None:
    lines = [line for path in WORKFLOWS for line in path.read_text(encoding="utf-8").splitlines() if "uses:" in line]
    assert len(lines) == sum("uses" in step for *_, step in STEPS) > 0
    assert [
        line for line in lines if not re.search(r"uses: [\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line)
    ] == []
    assert len({re.sub(r".*uses: ([^@]+)@.*", r"\1", line) for line in lines}) == len(
        {line.split("uses: ")[1] for line in lines}
    )


def test_a_checkout_leaves_no_credentials_behind() -> None:
    checkouts = [step for *_, step in STEPS if step.get("uses", "").startswith("actions/checkout@")]
    assert [step["with"] for step in checkouts] == [{"persist-credentials": False}] * len(checkouts)


def test_jobs_wait_for_jobs_that_are_there() -> None:
    assert {(workflow, job["needs"]) for (workflow, _), job in JOBS.items() if "needs" in job} <= JOBS.keys()


def test_commands_are_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    commands = [step["run"] for *_, step in STEPS if "run" in step] + [
        hook["entry"] for _, hook in HOOKS if "entry" in hook
    ]
    named = [
        word for text in commands for line in re.findall(r"^make (.+)$", text, re.MULTILINE) for word in line.split()
    ]
    assert {word for word in named if "=" not in word and not word.startswith((".", "$"))} <= targets


def test_the_tests_run_on_every_python_that_pyproject_names() -> None:
    named = [
        c.rpartition(" ")[2] for c in PROJECT["classifiers"] if c.startswith("Programming Language :: Python :: 3.")
    ]
    assert JOBS["ci.yml", "test"]["strategy"]["matrix"]["python"] == named
    assert PROJECT["requires-python"] == f">={named[0]}"
    assert {entry["python"] for entry in JOBS["ci.yml", "test"]["strategy"]["matrix"]["include"]} <= set(named)


def test_switches_of_the_workflows_are_read_by_the_tests() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]
    switches = {name for job in JOBS.values() for name in job.get("env", {}) if name.startswith("CLAIRGEN_")}
    assert switches
    assert [name for name in switches if not any(name in text for text in texts)] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tag", "said"), [("v{}", ""), ("v{}.1", "is not v{}, the version in pyproject.toml"), ("{}", "is not v")]
)
def test_a_release_needs_a_tag_that_is_the_version(tag: str, said: str) -> None:
    script = next(step["run"] for _, job, step in STEPS if job == "build" and step.get("shell") == "python")
    environment = os.environ | {"GITHUB_REF_NAME": tag.format(PROJECT["version"])}
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode == 0) == (said == "")
    assert said.format(PROJECT["version"]) in done.stderr


def test_only_the_job_that_publishes_has_an_identity_and_it_runs_nothing_of_the_repository() -> None:
    publish = JOBS["release.yml", "publish"]
    assert publish["environment"]["name"] == "pypi"
    assert publish["permissions"] == {"id-token": "write"}
    assert [step["uses"].split("@")[0] for step in publish["steps"]] == [
        "actions/download-artifact",
        "pypa/gh-action-pypi-publish",
    ]
    assert load(".github/workflows/release.yml")["on"] == {"push": {"tags": ["v[0-9]*"]}}
    others = [
        job["permissions"] for (workflow, _), job in JOBS.items() if workflow != "docs.yml" and job is not publish
    ]
    assert all("id-token" not in permissions for permissions in others)


def test_hooks_have_the_versions_that_the_lock_file_pins() -> None:
    lock = dict(
        re.findall(r"^([\w-]+)==(\S+)", (ROOT / "lock" / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    )
    revisions = {
        repo["repo"].rpartition("/")[2]: repo["rev"].lstrip("v") for repo, _ in HOOKS if repo["repo"] != "local"
    }
    assert revisions["ruff-pre-commit"] == lock["ruff"]
    assert revisions["check-jsonschema"] == lock["check-jsonschema"]


def test_ci_skips_only_hooks_that_are_there() -> None:
    skipped = [name for *_, step in STEPS for name in step.get("env", {}).get("SKIP", "").split(",") if name]
    assert skipped
    assert set(skipped) <= {hook["id"] for _, hook in HOOKS}


def test_the_citation_names_this_version_and_the_paper() -> None:
    citation = load("CITATION.cff")
    assert (citation["title"], citation["version"], citation["license"]) == (
        PROJECT["name"],
        PROJECT["version"],
        PROJECT["license"].partition(" AND ")[0],  # what others wrote and the distribution brings is not cited
    )
    [paper] = citation["references"]
    assert "2408.06266" in json.dumps(paper)
    assert "2408.06266" in (ROOT / "README.md").read_text(encoding="utf-8")
