"""A configuration that was submitted over HTTP names nothing that the operator did not allow."""

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel, RootModel, ValidationError

from clairgen.config.evaluated import EvaluateConfig
from clairgen.config.file import config_yaml, parse_config
from clairgen.config.models import RunConfig
from clairgen.errors import ClairgenError, ConfigError, InputError
from clairgen.filters.registry import FILTERS
from clairgen.service.allowed_endpoints import allowed_endpoint, plain_address
from clairgen.service.command_requests import ImportRequest
from clairgen.service.policy import Policy, policy_of
from clairgen.service.runs_root import NotPermittedError, RunsRoot
from clairgen.service.submitted_config import (
    MOST_BYTES,
    checked,
    checked_evaluation,
    confined,
    decided,
    needs_decision,
)
from clairgen.service.submitted_training import _CHECKED, _PLAIN, REFUSED, checked_training

CLASSROOM = {"model": "classroom-student", "endpoints": ["classroom:student"]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A served folder with files of each kind, a link that leads out, and what is hidden."""
    served = tmp_path / "runs"
    for folder in ("data", "reward", "tokenizer", ".clairgen", "first"):
        (served / folder).mkdir(parents=True)
    for name in ("prompts.jsonl", "data/eval.txt", "data/mine.txt", "data/pairs.jsonl", "tokenizer/tokenizer.json"):
        (served / name).write_text("{}\n")
    for name in (".clairgen/service.jsonl", ".env.txt", "first/run.db"):
        (served / name).write_text("secret")
    (served / "model.gguf").write_bytes(b"GGUF")
    (tmp_path / "secret.jsonl").write_text("secret")
    (tmp_path / "secret.txt").write_text("secret")
    (served / "link.jsonl").symlink_to(tmp_path / "secret.jsonl")
    (served / "link.jsonl.txt").symlink_to(tmp_path / "secret.txt")
    (served / "out").symlink_to(tmp_path)
    (served / "data" / "again.jsonl").symlink_to(served / "prompts.jsonl")
    return served


def with_changes(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any part of a configuration
    """The classroom's configuration with other keys at its top."""
    plain = {
        "recipes": ["clair"],
        "tasks": {"path": "prompts.jsonl"},
        "models": {"target": CLASSROOM, "reviser": CLASSROOM},
    }
    return plain | changes


def with_role(**role: Any) -> dict[str, Any]:  # noqa: ANN401 - any key of a role
    """The same with another target."""
    return with_changes(models={"target": CLASSROOM | role, "reviser": CLASSROOM})


OUTSIDE = [
    "/etc/passwd",
    "../secret.jsonl",
    "data/../../secret.jsonl",
    "data/../prompts.jsonl",
    "link.jsonl",
    "out/secret.jsonl",
    ".clairgen/service.jsonl",
    "~/secret.jsonl",
    "~root/secret.jsonl",
    "/proc/self/environ",
    "a" * 5000,
    "data\nx.jsonl",
    ".",
]
NAMED: Mapping[str, Any] = {
    "tasks.path": lambda path: with_changes(tasks={"path": path}),
    "import": lambda path: with_changes(**{"import": path}),
    "import.0.path": lambda path: with_changes(**{"import": [{"path": path}]}),
    "recipes.0.template": lambda path: with_changes(recipes=[{"name": "clair", "template": f"{path}.txt"}]),
    "filters.contamination.files": lambda path: with_changes(filters={"contamination": {"files": [path]}}),
    "filters.recipes": lambda path: with_changes(filters={"recipes": {"clair": {"contamination": {"files": [path]}}}}),
    "tokenizer": lambda path: with_changes(filters={"length_difference": {"bounds": [0, 9], "tokenizer": path}}),
    "gguf": lambda path: with_role(endpoints=[f"gguf:{path}"]),
    "classifier": lambda path: with_changes(
        models={"target": CLASSROOM, "reward-model": {"model": "r", "endpoints": [f"classifier:{path}"]}}
    ),
}


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize("named", NAMED)
def test_no_field_names_a_file_outside_the_folder(root: Path, named: str, path: str) -> None:
    everything = Policy(RunsRoot(root), frozenset({"KEY"}), (allowed_endpoint("localhost:1"),), hub=True)
    with pytest.raises(ClairgenError) as refused:
        checked(NAMED[named](path), everything)
    assert isinstance(refused.value, NotPermittedError) or path == ".", refused.value
    assert "\n" not in str(refused.value)


def test_files_of_the_folder_are_named_from_it_and_come_back_without_links(root: Path) -> None:
    config = checked(
        with_changes(
            tasks={"path": "data/again.jsonl"},
            recipes=[{"name": "clair", "template": "data/mine.txt"}],
            filters={
                "contamination": {"files": ["data/eval.txt"]},
                "length_difference": {"bounds": [0, 9], "tokenizer": "tokenizer"},
                "recipes": {"clair": {"contamination": {"files": [str(root / "data/eval.txt")]}}},
            },
            models={
                "target": CLASSROOM | {"endpoints": ["gguf:model.gguf?context=512"]},
                "reviser": CLASSROOM,
                "reward-model": {"model": "r", "endpoints": ["classifier:reward"]},
            },
            **{"import": ["data/pairs.jsonl", {"path": "data", "name": "more"}]},
        ),
        Policy(RunsRoot(root)),
    )
    assert config.tasks is not None
    assert config.tasks.path == root / "prompts.jsonl"
    assert config.recipes[0].template == str(root / "data/mine.txt")
    assert config.filters["contamination"].files == (root / "data/eval.txt",)
    assert config.filters.of("clair")["contamination"].files == (root / "data/eval.txt",)
    assert config.filters["length_difference"].tokenizer == str(root / "tokenizer")
    assert config.models["target"].endpoints == [f"gguf:{root}/model.gguf?context=512"]
    assert config.models["reward-model"].endpoints == [f"classifier:{root}/reward"]
    assert [one.path for one in config.imports or ()] == [root / "data/pairs.jsonl", root / "data"]
    assert confined(config, Policy(RunsRoot(root))) == config
    assert confined(parse_config(config_yaml(config)), Policy(RunsRoot(root))) == config


def test_what_ships_with_clairgen_is_allowed_by_name(root: Path) -> None:
    config = checked(with_changes(tasks={"path": "example:classroom.jsonl"}), Policy(RunsRoot(root)))
    assert config.tasks is not None
    assert config.tasks.path is not None
    assert config.tasks.path.is_file()
    assert confined(config, Policy(RunsRoot(root))) == config
    for name in ("example:keys.env", "example:../prices.yaml", "example:none.jsonl"):
        with pytest.raises(NotPermittedError, match=r"there are example:classroom\.jsonl"):
            checked(with_changes(tasks={"path": name}), Policy(RunsRoot(root)))


def test_a_link_in_a_folder_does_not_lead_out(root: Path, tmp_path: Path) -> None:
    (root / "data" / "stolen.jsonl").symlink_to(tmp_path / "secret.jsonl")
    with pytest.raises(NotPermittedError, match="a link in 'data' leads out"):
        checked(with_changes(**{"import": "data"}), Policy(RunsRoot(root)))


@pytest.mark.parametrize(
    ("name", "content", "is_allowed"),
    [
        (
            "README.md",
            "---\nconfigs:\n- {config_name: 'a: b', data_files: ['a/*.jsonl']}\nlicense_link: https://x.example/\n---\n# /x",
            True,
        ),
        ("README.md", "# only a text about /etc", True),
        ("README.md", "---\nconfigs:\n- {data_files: [{split: train, path: ../../secret.jsonl}]}\n---\n", False),
        ("README.md", "---\nconfigs:\n- {data_files: /etc/passwd}\n---\n", False),
        ("README.md", "---\nconfigs:\n- {data_files: 'file:///etc/passwd'}\n---\n", False),
        ("README.md", "---\nconfigs:\n- {data_files: 'http://169.254.169.254/x.jsonl'}\n---\n", False),
        ("README.md", "---\nconfigs:\n- {data_files: 'file:secret.jsonl'}\n---\n", False),
        ("README.md", "---\nconfigs:\n- {data_files: 'local:/etc/passwd'}\n---\n", False),
        ("README.md", "---\nconfigs:\n- {data_files: 'a::/etc/x.zip'}\n---\n", False),
        ("README.md", "\n---\nconfigs:\n- {data_files: /etc/passwd}\n---\n", False),
        ("README.md", "\ufeff---\nconfigs:\n- {data_files: /etc/passwd}\n---\n", False),
        ("README.md", "---\r\nname: a---\r\nconfigs:\r\n- {data_files: /etc/passwd}\r\n---\r\n", False),
        (".huggingface.yaml", "configs:\n- {data_files: /etc/passwd}\n", False),
        ("README.md", "---\nconfigs: [\n---\n", False),
        ("dataset_dict.json", '{"splits": ["train"]}', True),
        ("dataset_dict.json", '{"splits": ["../../other"]}', False),
        ("train/state.json", '{"_data_files": [{"filename": "/x.arrow"}]}', False),
    ],
)
def test_a_folder_of_data_takes_no_rows_from_elsewhere(
    root: Path, name: str, content: str, *, is_allowed: bool
) -> None:
    (root / "data" / "train").mkdir()
    (root / "data" / name).write_bytes(content.encode())
    submitted = with_changes(**{"import": "data"})
    if is_allowed:
        assert checked(submitted, Policy(RunsRoot(root))).imports
    else:
        with pytest.raises(NotPermittedError, match="'data' takes its rows from"):
            checked(submitted, Policy(RunsRoot(root)))


ADDRESSES = [
    "http://169.254.169.254/latest/meta-data",
    "http://2852039166/v1",
    "http://0xa9fea9fe/v1",
    "http://0251.0376.0251.0376/v1",
    "http://169.254.43518/v1",
    "http://[::ffff:169.254.169.254]/v1",
    "http://[::ffff:a9fe:a9fe]/v1",
    "http://169.254.169.254./v1",
    "http://169。254。169。254/v1",
    "http://①⑥⑨.254.169.254/v1",
    "http://%31%36%39.254.169.254/v1",
    "http://metadata.google.internal/v1",
    "http://localhost:8001/v1",
    "http://LOCALHOST.:8000/v1",
    "http://127.1:8000/v1",
    "http://[::1]:8000/v1",
    "http://[fe80::1%25eth0]:8000/v1",
    "http://10.0.0.1/v1",
    "http://api.example.com/v1",
    "https://api.example.com.evil.example/v1",
    "https://api.example.com:444/v1",
    "https://api.example.com/v10",
    "https://api.example.com/v1/../admin",
    "https://api.example.com/v1/%2e%2e/admin",
    "https://api.example.com/v1/..;/admin",
    "https://api.example.com/v1\\..\\admin",
    "https://evil.example\\.api.example.com/v1",
    "https://api.example.com@evil.example/v1",
    "https://аpi.example.com/v1",
    "https://xn--pi-7kc.example.com/v1",
    "https:api.example.com/v1",
    "https:///api.example.com/v1",
    "HTTPS://api.example.com/v1",
    "ftp://api.example.com/v1",
    "file:///etc/passwd",
    "unix:/run/docker.sock",
]


@pytest.mark.parametrize("url", ADDRESSES)
def test_no_request_is_sent_to_an_address_that_is_not_listed(root: Path, url: str) -> None:
    listed = policy_of(RunsRoot(root), [], ["https://api.example.com/v1", "localhost:8000"], hub=True)
    with pytest.raises(ConfigError):
        checked(with_role(endpoints=[url]), listed)
    with pytest.raises(ConfigError):
        checked_evaluation(with_role(endpoints=["classroom:student", url]), listed)


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("https://api.example.com/v1", "https://API.example.com:443/v1/"),
        ("https://api.example.com/v1/", "https://api.example.com/v1/engines/a"),
        ("https://api.example.com", "https://api.example.com/openai?api-version=2024-10-21"),
        ("localhost:8000", "http://localhost:8000/v1"),
        ("localhost:8000", "https://localhost:8000/v1"),
        ("127.0.0.1:80", "http://127.0.0.1/v1"),
        ("[::1]:8000", "http://[0:0:0:0:0:0:0:1]:8000/v1"),
        ("http://[::ffff:10.0.0.1]", "http://10.0.0.1/v1"),
        ("vllm_1:8000", "http://vllm_1:8000/v1"),
    ],
)
def test_a_listed_endpoint_is_compared_by_its_parts(root: Path, allowed: str, url: str) -> None:
    config = checked(with_role(endpoints=[url]), policy_of(RunsRoot(root), [], [allowed], hub=False))
    assert config.models["target"].endpoints == [url.rstrip("/")]
    assert allowed_endpoint(allowed).covers(plain_address(url))


@pytest.mark.parametrize(
    "text",
    ["*", "https://*", "localhost", "https://", "http://127.1:80", "a:0", "a:70000", "https://u@h/v1", "h:80/%41"],
)
def test_a_value_of_the_option_that_would_be_unclear_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--allow-endpoint"):
        allowed_endpoint(text)


def test_the_error_names_the_option_that_would_allow_it(root: Path) -> None:
    closed = Policy(RunsRoot(root))
    for content, option in (
        (
            with_role(endpoints=["http://10.0.0.1/v1"]),
            "in its network; its operator can allow that with --allow-endpoint http://10.0.0.1:80",
        ),
        (with_role(api_key_env="OPENAI_API_KEY"), "--allow-env OPENAI_API_KEY"),
        (with_role(headers={"X-Team": "${HOME}"}), "--allow-env HOME"),
        (with_changes(tasks={"hub": "owner/name"}), "--allow-hub"),
    ):
        with pytest.raises(NotPermittedError, match="its operator can allow that with") as refused:
            checked(content, closed)
        assert option in str(refused.value)


def test_only_listed_variables_are_read(root: Path) -> None:
    listed = policy_of(RunsRoot(root), ["OPENAI_API_KEY"], [], hub=False)
    keyed = with_role(api_key_env="OPENAI_API_KEY", headers={"X-Team": "a ${OPENAI_API_KEY}"})
    assert checked(keyed, listed).models["target"].api_key_env == "OPENAI_API_KEY"
    for role in ({"api_key_env": "OPENAI_API_KEY2"}, {"headers": {"X": "${OPENAI_API_KEY}${AWS_SECRET_ACCESS_KEY}"}}):
        with pytest.raises(NotPermittedError, match="reads no environment variable"):
            checked(with_role(**role), listed)


@pytest.mark.parametrize("name", ["../x", "/etc", "json", "a/b/c", ".", "a/..", "a/b@main", "", "owner/name\n"])
def test_the_hub_is_named_by_names_of_the_hub_alone(root: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        checked(with_changes(tasks={"hub": name}), Policy(RunsRoot(root), hub=True))


def test_the_hub_is_closed_unless_it_is_allowed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = [
        with_changes(tasks={"hub": "owner/name"}),
        with_changes(**{"import": "hub:owner/name"}),
        with_changes(filters={"length_difference": {"bounds": [0, 9], "tokenizer": "owner/name@main"}}),
        with_changes(
            models={"target": CLASSROOM, "reward-model": {"model": "r", "endpoints": ["classifier:owner/name"]}}
        ),
    ]
    for content in named:
        with pytest.raises(NotPermittedError, match="--allow-hub"):
            checked(content, Policy(RunsRoot(root)))
        config = checked(content, Policy(RunsRoot(root), hub=True))
        assert confined(config, Policy(RunsRoot(root), hub=True)) == config
    for part in ({"split": "../x"}, {"subset": "a/b"}):
        with pytest.raises(NotPermittedError, match="is not a name"):
            checked(with_changes(tasks={"hub": "owner/name"} | part), Policy(RunsRoot(root), hub=True))
    offline = Policy(RunsRoot(root)).surroundings({"A": "b", "HF_HUB_OFFLINE": "0"})
    assert offline == {"A": "b", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    assert Policy(RunsRoot(root), hub=True).surroundings({"A": "b"}) == {"A": "b"}
    (root / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(root)  # `datasets` would read that folder
    with pytest.raises(NotPermittedError, match="is not the name of something on the hub"):
        checked(named[0], Policy(RunsRoot(root), hub=True))


def test_an_engine_of_the_service_has_a_bounded_size(root: Path) -> None:
    for role in (
        {"endpoints": ["classroom:student?slots=65"]},
        {"endpoints": ["classroom:student?context=1000000"]},
        {"endpoints": ["gguf:model.gguf?threads=100000"]},
        {"concurrency": 65},
    ):
        with pytest.raises(NotPermittedError, match="an engine of the service"):
            checked(with_role(**role), Policy(RunsRoot(root)))


def test_yaml_that_stands_for_more_than_it_is_long_is_refused_at_once(root: Path) -> None:
    bomb = "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}]\n" for n in range(1, 30)).replace("*a0", "x")
    for text, said in (
        (f"{bomb}models: {{target: {{extra: *a29}}}}", "aliases (*) make far too much of it"),
        ("a: &a [*a]", "aliases (*) make far too much"),
        ("a: " + "[" * 60_000, "nested more than 50 deep"),
        ("a: " + "{b: " * 10_000, "nested more than 50 deep"),
        ("- " * 30_000, "nested more than 50 deep"),
        ("# " + "x" * MOST_BYTES, "has at most 65,536 bytes"),
        ("seed: 1\nseed: 2", "the key 'seed' is given twice"),
        ("!!python/object/apply:os.system [id]", "could not determine a constructor"),
        ("a: \0", "not valid YAML"),
        ("just text", "a configuration is a mapping"),
        ("models: {target: {extra: {a: .nan}}}", "is missing"),
        ("\ud800: 1", "not valid YAML"),
    ):
        with pytest.raises(ConfigError, match="the configuration") as refused:
            checked(text, Policy(RunsRoot(root)))
        assert said in str(refused.value), (text[:40], str(refused.value))


def test_the_examples_text_is_read_like_the_object(root: Path) -> None:
    content = with_changes(tasks={"path": "example:prompts.jsonl"})
    assert checked(yaml.safe_dump(content), Policy(RunsRoot(root))) == checked(content, Policy(RunsRoot(root)))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 - any type form
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _all_models(first: type[BaseModel]) -> Iterator[type[BaseModel]]:
    waiting, seen = [first], set[type[BaseModel]]()
    while waiting:
        if (model := waiting.pop()) in seen:
            continue
        seen.add(model)
        yield model
        for field in model.model_fields.values():
            waiting += _models(field.annotation)


def test_every_field_that_can_hold_a_text_has_a_decision() -> None:
    kinds = {*_all_models(RunConfig), *_all_models(EvaluateConfig), *(one.options for one in FILTERS.built_in.values())}
    undecided = [
        f"{kind.__name__}.{name}"
        for kind in kinds
        if not issubclass(kind, RootModel)
        for name, field in kind.model_fields.items()
        if needs_decision(field.annotation) and decided(kind, name) is None
    ]
    assert undecided == [], "decide in clairgen/service/submitted_config.py what these may name over HTTP"
    assert len(kinds) > 15


def test_a_field_without_a_decision_may_not_be_set(root: Path) -> None:
    class Plugin(BaseModel):
        word: str = "x"
        path: Path | None = None
        anything: Any = None
        number: int = 1

    assert confined(Plugin(number=3), Policy(RunsRoot(root))) == Plugin(number=3)
    for given in (Plugin(word="y"), Plugin(path=Path("prompts.jsonl")), Plugin(anything=1)):
        with pytest.raises(NotPermittedError, match="it cannot be set in what is submitted"):
            confined(given, Policy(RunsRoot(root)))


@pytest.mark.skipif(importlib.util.find_spec("clairgen_train") is None, reason="not installed")
def test_every_setting_of_training_has_a_decision() -> None:
    from clairgen_train.settings import KtoPair, Lora, TrainingSettings

    fields = TrainingSettings.model_fields
    assert {*_CHECKED, *_PLAIN, *REFUSED} == {*fields}
    assert not (_PLAIN & REFUSED)
    texts = {name for name in _PLAIN if needs_decision(fields[name].annotation)}
    assert texts == set()
    assert {name for name, field in Lora.model_fields.items() if needs_decision(field.annotation)} == {
        "target_modules",
        "modules_to_save",
    }
    assert not any(needs_decision(field.annotation) for field in KtoPair.model_fields.values())


def test_settings_of_training_name_nothing_elsewhere(root: Path) -> None:
    (root / "model").mkdir()
    closed = Policy(RunsRoot(root))
    assert checked_training({"model": "model", "beta": 0.2, "lora": {"rank": 4}}, closed) == {
        "model": str(root / "model"),
        "beta": 0.2,
        "lora": {"rank": 4},
    }
    for settings in (
        {"model": "Qwen/Qwen3-0.6B"},
        {"model": "../model"},
        {"model": 3},
        {"reference_model": "/etc"},
        {"chat_template": "/etc/passwd"},
        {"trl": {"hub_token": "x"}},
        {"trust_remote_code": True},
        {"report_to": ["wandb"]},
        {"reference_cache": "/tmp"},  # noqa: S108 - a path that is refused
        {"attn_implementation": "kernels-community/evil"},
        {"scheduler_kwargs": {"a": "b"}},
        {"subset": "../x"},
        {"new_setting": 1},
    ):
        with pytest.raises(NotPermittedError):
            checked_training(settings, closed)
    assert (
        checked_training({"model": "Qwen/Qwen3-0.6B"}, Policy(RunsRoot(root), hub=True))["model"] == "Qwen/Qwen3-0.6B"
    )


@pytest.mark.parametrize(
    "text", ["first", "first/export", "../x", "/etc/x", ".hidden", "out/x", ".", "", "a/../b", "~/x"]
)
def test_nothing_is_written_outside_the_folder_or_into_a_run(root: Path, text: str) -> None:
    with pytest.raises(NotPermittedError):
        RunsRoot(root).new_path(text, "the target")
    (root / "run.db").mkdir()  # as a run of that name would be
    RunsRoot(root).check()
    assert RunsRoot(root).new_path("exports/first", "the target") == root / "exports" / "first"
    for name in ("run.db", "run.db-wal", "lock", "exports"):
        with pytest.raises(InputError, match="something else"):
            RunsRoot(root).run_to_write(name)


def test_a_command_takes_the_same_subsets_as_a_configuration() -> None:
    one = {"verb": "import", "run": "first", "source": "uploads/rows.jsonl"}
    assert (
        ImportRequest.model_validate({**one, "subset": "20231101.en", "split": "train[:10%]"}).subset == "20231101.en"
    )
    for wrong in ("..", "a..b", "a/b", ".hidden", "x" * 201):
        with pytest.raises(ValidationError, match="subset"):
            ImportRequest.model_validate({**one, "subset": wrong})
