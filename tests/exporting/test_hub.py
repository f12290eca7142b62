"""A push, against a stand-in of the Hub on a real socket."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import close_session

from clairgen.errors import UserError
from clairgen.exporting.dataset import DatasetWriter
from clairgen.exporting.hub import push, push_model
from tests.exporting.hub_stand_in import HubStandIn, served
from tests.exporting.stored_pairs import stored_pair

pytestmark = pytest.mark.slow

TOKEN = "hf_secretsecretsecret"  # noqa: S105 - made up


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    with DatasetWriter(tmp_path / "out", test_fraction=0.3) as writer:
        for number in range(20):
            writer.add(stored_pair(number))
        writer.finish()
    return tmp_path / "out"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with served(HubStandIn(TOKEN)) as hub:
        yield hub
    close_session()


def test_every_file_arrives_byte_for_byte(exported: Path, hub: HubStandIn) -> None:
    url = push(exported, "me/pairs", private=True, endpoint=hub.url)
    assert url == f"{hub.url}/datasets/me/pairs"
    assert hub.files == files_of(exported)
    assert set(hub.files) == {
        "README.md",
        "clair/train-00000-of-00001.parquet",
        "clair/test-00000-of-00001.parquet",
    }
    assert hub.authorizations == {f"Bearer {TOKEN}"}
    (created,) = hub.created
    assert (created["organization"], created["name"], created["type"]) == ("me", "pairs", "dataset")
    assert created["visibility"] == "private"


def test_shards_of_an_earlier_push_do_not_stay(exported: Path, hub: HubStandIn) -> None:
    hub.files["clair/train-00001-of-00002.parquet"] = b"old"
    hub.files["other/train-00000-of-00001.parquet"] = b"another subset"
    push(exported, "me/pairs", private=False, endpoint=hub.url)
    assert set(hub.files) - set(files_of(exported)) == {"other/train-00000-of-00001.parquet"}
    assert hub.created[0]["visibility"] == "public"


@pytest.mark.process
def test_large_files_arrive_too(exported: Path, hub: HubStandIn) -> None:
    hub.large_files = True
    code = "import sys; from pathlib import Path; from clairgen.exporting.hub import push\n"
    code += "print(push(Path(sys.argv[1]), 'me/pairs', private=False, endpoint=sys.argv[2]))"
    # Another process, because the variable is read when huggingface_hub is imported; Xet has no server to stand in for.
    environment = {**os.environ, "HF_HUB_DISABLE_XET": "1"}
    subprocess.run([sys.executable, "-c", code, str(exported), hub.url], check=True, env=environment)
    assert hub.files == files_of(exported)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (401, "does not accept the token in HF_TOKEN"),
        (403, "may not write to me/pairs"),
        (400, r"refused the upload to me/pairs with status 400: no, Bearer \[token\]\.$"),
    ],
)
def test_refusal_is_one_sentence_without_the_token(status: int, sentence: str, exported: Path, hub: HubStandIn) -> None:
    hub.refuse_with = status
    with pytest.raises(UserError, match=sentence) as caught:
        push(exported, "me/pairs", private=False, endpoint=hub.url)
    assert TOKEN not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_token_is_refused_by_the_hub(exported: Path, hub: HubStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(UserError, match="does not accept the token") as caught:
        push(exported, "me/pairs", private=False, endpoint=hub.url)
    assert "hf_wrong" not in str(caught.value)


def test_token_comes_from_the_environment_alone(
    exported: Path, hub: HubStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(UserError, match="set it in the environment as HF_TOKEN"):
        push(exported, "me/pairs", private=False, endpoint=hub.url)
    assert hub.authorizations == set()


@pytest.mark.parametrize("repo_id", ["me/pairs/more", "me/--pairs", "a b", ""])
def test_name_that_cannot_be_is_refused(repo_id: str, exported: Path, hub: HubStandIn) -> None:
    with pytest.raises(UserError, match="cannot name a repository on the Hub"):
        push(exported, repo_id, private=False, endpoint=hub.url)


def test_hub_out_of_reach_is_one_sentence(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with socket.socket() as taken:  # bound and never listening: a connection is refused at once
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UserError, match=f"The Hub at {endpoint} cannot be reached"):
            push(exported, "me/pairs", private=False, endpoint=endpoint)
    close_session()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """What a training run leaves in its folder, by name."""
    folder = tmp_path / "model"
    (folder / "checkpoint-7").mkdir(parents=True)
    (folder / "pairs").mkdir()
    kept = "README.md model.safetensors config.json generation_config.json tokenizer.json tokenizer_config.json"
    kept += " chat_template.jinja"
    other = "checkpoint-7/model.safetensors checkpoint-7/config.json pairs/train.arrow data.json log.jsonl training.yaml lock"
    for name in f"{kept} {other} result.json trajectories.parquet".split():
        (folder / name).write_bytes(name.encode())
    return folder


def test_a_model_arrives_without_checkpoints_data_and_logs(model: Path, hub: HubStandIn) -> None:
    hub.files["model-00001-of-00002.safetensors"] = b"old"
    push_model(model, "me/model", private=True, endpoint=hub.url)
    assert set(hub.files) == {
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    (created,) = hub.created
    assert created.get("type") in (None, "model")
    assert created["visibility"] == "private"


def test_a_model_that_others_could_not_load_is_not_pushed(model: Path, hub: HubStandIn) -> None:
    (model / "model.safetensors").rename(model / "adapter_model.safetensors")
    (model / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "/home/me/base"}))
    with pytest.raises(UserError, match="is the folder /home/me/base, which nobody else has; merge it"):
        push_model(model, "me/model", private=True, endpoint=hub.url)
    (model / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "owner/base"}))
    push_model(model, "me/model", private=True, endpoint=hub.url)
    assert {"adapter_model.safetensors", "adapter_config.json"} <= set(hub.files)
    (model / "adapter_model.safetensors").unlink()
    with pytest.raises(UserError, match="holds no trained model"):
        push_model(model, "me/model", private=True, endpoint=hub.url)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
