"""A tiny random sequence classifier as the reward model of `clairgen advise`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, set_seed

from clairgen import api
from clairgen.errors import InputError
from clairgen.pipeline.advise import advise
from clairgen.pipeline.generate import generate
from clairgen.pipeline.progress import Progress
from clairgen.recipes.compare import Outcome
from clairgen.records import Pair, overall_score
from clairgen.store import RunDirectory, reading
from clairgen_train.reward_model import ClassifierReward, load_reward_model
from tests.cli.commands import clairgen
from tests.judges import likes_winners, playing
from tests.runs import TARGET, config, config_text, questions, write_tasks
from tests.scripted import ScriptedEndpoint, said

CLASSROOM = Path(__file__).parents[2] / "data" / "classroom" / "teacher"
CHATS = [
    [{"role": "user", "content": "What is 2 + 2?"}, {"role": "assistant", "content": answer}]
    for answer in ("It is 4.", "It is 5, since two and two are not four on a day like this.", "4", "Five")
]


def tiny_settings(labels: int = 1, *, positions: int = 512, pad: int | None = 5) -> LlamaConfig:
    settings = LlamaConfig(
        vocab_size=2048,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=positions,
        initializer_range=0.5,  # so that scores are far apart
        pad_token_id=pad,
    )
    settings.num_labels = labels
    return settings


def tiny_reward(folder: Path, labels: int = 1, *, positions: int = 512, template: bool = True, pad: bool = True) -> str:
    """A folder with a random classifier and the classroom's tokenizer; its name."""
    set_seed(3)
    settings = tiny_settings(labels, positions=positions, pad=5 if pad else None)
    model = LlamaForSequenceClassification(settings)  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(CLASSROOM)
    if not template:
        tokenizer.chat_template = None
    if not pad:
        tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    return str(folder)


def logits_of(reward: ClassifierReward, chat: list[dict[str, str]]) -> torch.Tensor:
    """Logits of one conversation alone, without any of our batching."""
    text = reward.tokenizer.apply_chat_template(chat, tokenize=False)
    ids = reward.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        logits: torch.Tensor = reward.model(input_ids=ids.to(reward.device)).logits[0]
    return logits


@pytest.mark.parametrize("pad", [True, False])
def test_one_label_is_the_reward_whatever_it_is_batched_with(tmp_path: Path, pad: bool) -> None:
    reward = load_reward_model(tiny_reward(tmp_path, pad=pad))
    assert (reward.model.config.pad_token_id is not None) == pad
    together = reward.scores(CHATS)
    assert len(set(together)) == len(CHATS)
    assert together == pytest.approx([logits_of(reward, chat).item() for chat in CHATS], abs=1e-5)
    assert together == pytest.approx([reward.scores([chat])[0] for chat in CHATS], abs=1e-5)
    assert reward.scores(CHATS[::-1]) == pytest.approx(together[::-1], abs=1e-6)


def test_two_labels_are_a_difference_of_logits(tmp_path: Path) -> None:
    reward = load_reward_model(tiny_reward(tmp_path, labels=2))
    for chat, score in zip(CHATS, reward.scores(CHATS), strict=True):
        bad, good = logits_of(reward, chat).tolist()
        assert score == pytest.approx(good - bad, abs=1e-5)


def test_a_conversation_that_is_too_long_is_truncated_and_counted(tmp_path: Path) -> None:
    reward = load_reward_model(tiny_reward(tmp_path, positions=64))
    long = [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": "and so on " * 100}]
    longer = [*long[:1], {"role": "assistant", "content": "and so on " * 200}]
    first, second, _ = reward.scores([long, longer, CHATS[0]])
    assert first == pytest.approx(second, abs=1e-6)
    assert (reward.truncated, reward.max_tokens) == (2, 64)


def test_anything_but_a_reward_model_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the reward model .*absent cannot be loaded \(.*name a folder or hub id"):
        load_reward_model(str(tmp_path / "absent"))
    with pytest.raises(InputError, match="has 3 labels, none of which is a reward"):
        load_reward_model(tiny_reward(tmp_path / "three", labels=3))
    with pytest.raises(InputError, match="has no chat template, so conversations cannot be rendered for it"):
        load_reward_model(tiny_reward(tmp_path / "bare", template=False))
    LlamaForCausalLM(tiny_settings()).save_pretrained(tmp_path / "writer")
    AutoTokenizer.from_pretrained(CLASSROOM).save_pretrained(tmp_path / "writer")
    with pytest.raises(InputError, match=r"is not a reward model: its file has no score.weight, which would be random"):
        load_reward_model(str(tmp_path / "writer"))


def test_neither_pickles_nor_a_models_own_code_are_read(tmp_path: Path) -> None:
    pickled = Path(tiny_reward(tmp_path / "pickled"))
    torch.save({}, pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    with pytest.raises(InputError, match="safetensors"):
        load_reward_model(str(pickled))
    own = Path(tiny_reward(tmp_path / "own"))
    settings = json.loads((own / "config.json").read_text())
    settings |= {
        "model_type": "own",
        "auto_map": {"AutoConfig": "mine.Settings", "AutoModelForSequenceClassification": "mine.Own"},
    }
    (own / "config.json").write_text(json.dumps(settings))
    (own / "mine.py").write_text(f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_reward_model(str(own))
    assert not (tmp_path / "ran").exists()


def test_a_template_that_refuses_a_conversation_is_one_sentence(tmp_path: Path) -> None:
    reward = load_reward_model(tiny_reward(tmp_path))
    reward.tokenizer.chat_template = "{{ raise_exception('System role not supported') }}"
    with pytest.raises(
        InputError, match=r"refuses a conversation with the roles user, assistant: System role not supported"
    ):
        reward.scores(CHATS)


def test_without_torch_it_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import importlib.util as util, sys\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'torch' else find(name, *rest)\n"
        "import clairgen_train.reward_model as module\n"
        "assert 'torch' not in sys.modules\n"
        f"try: module.load_reward_model({str(tmp_path)!r})\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("MissingExtraError Scoring with a reward model needs packages")
    assert "pip install 'clairgen[train]'" in done.stdout


async def test_winners_are_scored_against_fresh_answers_without_a_judge(tmp_path: Path) -> None:
    reward = load_reward_model(tiny_reward(tmp_path / "reward"))
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(30))
    async with ScriptedEndpoint(playing(likes_winners)) as endpoint:
        settings = config(endpoint.url, tasks, recipes=["clair"], target={"system": "Be brief."})
        await generate(settings, tmp_path / "run")
        before, progress = len(endpoint.asked), Progress()
        found = await advise(tmp_path / "run", reward_model=reward, progress=progress)
        asked = endpoint.asked[before:]
    assert [request["model"] for request in asked] == [TARGET] * 30
    fresh = {
        request["messages"][-1]["content"]: f"{request['messages'][-1]['content']}: draft {request['seed']}"
        for request in asked
    }
    wins = 0
    async with reading(RunDirectory(tmp_path / "run")) as store:
        async for stored in store.pairs.made("clair"):
            prompt = [{"role": message.role, "content": message.content} for message in stored.task.messages]
            assert isinstance(stored.outcome, Pair)
            assert prompt[0]["role"] == "system"
            answers = (stored.outcome.chosen.text, fresh[prompt[-1]["content"]])
            won, drawn = (
                logits_of(reward, [*prompt, {"role": "assistant", "content": answer}]).item() for answer in answers
            )
            wins += won > drawn
    [clair] = found.recipes
    assert 0 < wins < 30
    assert clair.outcomes == {Outcome.WON: wins, Outcome.LOST: 30 - wins}
    assert clair.by == f"reward model {tmp_path / 'reward'}"
    assert progress.made == {"clair": 30}


async def test_the_command_takes_a_folder_and_stops_with_a_sentence(tmp_path: Path) -> None:
    folder = tiny_reward(tmp_path / "reward", positions=32)
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(12))
    async with ScriptedEndpoint(playing(likes_winners)) as endpoint:
        (tmp_path / "config.yaml").write_text(config_text(endpoint.url, tasks, recipes=["clair"]))
        assert (await clairgen("generate", tmp_path / "config.yaml", "--run", tmp_path / "run")).code == 0
        done = await clairgen("advise", tmp_path / "run", "--reward-model", folder, "--json")
        refused = await clairgen("advise", tmp_path / "run", "--reward-model", tmp_path / "none")
        spoilt: Any = json.loads((Path(folder) / "tokenizer_config.json").read_text())
        spoilt["chat_template"] = "{{ raise_exception('no') }}"
        (Path(folder) / "tokenizer_config.json").write_text(json.dumps(spoilt))
        (Path(folder) / "chat_template.jinja").unlink(missing_ok=True)
        stopped = await clairgen("advise", tmp_path / "run", "--reward-model", folder)
    assert done.code == 0, done
    [clair] = json.loads(done.out)
    assert sum(clair["outcomes"].values()) == 12
    assert "texts are longer than the reward model can read" in done.err
    assert (refused.code, "Traceback" in refused.err) == (2, False)
    assert "none cannot be loaded" in refused.err
    assert (stopped.code, "Traceback" in stopped.err) == (2, False)
    assert "refuses a conversation with the roles user, assistant: no" in stopped.err


async def test_best_of_n_is_scored_by_a_classifier_on_this_machine(tmp_path: Path) -> None:
    folder = tiny_reward(tmp_path / "rm")
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(3))
    async with ScriptedEndpoint(
        lambda request: said(f"It is {request['seed'] % 1000}, said of {request['messages'][-1]['content']}")
    ) as endpoint:
        models = {
            "target": {"model": TARGET, "endpoints": [endpoint.url], "temperature": 1, "max_tokens": 20},
            "reward-model": {"model": "tiny", "endpoints": ["classifier:rm"]},
        }
        recipe = {"name": "best-of-n", "samples": 5, "by": "reward-model"}
        (tmp_path / "config.yaml").write_text(config_text(endpoint.url, tasks, recipes=[recipe], models=models))
        done = await clairgen("generate", tmp_path / "config.yaml", "--run", tmp_path / "run")
    assert done.code == 0, done.err
    reward = load_reward_model(folder)
    for stored in await api.made_pairs(tmp_path / "run", "best-of-n"):
        assert isinstance(stored.outcome, Pair)
        prompt = {"role": "user", "content": stored.task.messages[-1].content}
        sides = [stored.outcome.chosen, stored.outcome.rejected]
        chats = [[prompt, {"role": "assistant", "content": answer.text}] for answer in sides]
        best, worst = reward.scores(chats)
        assert overall_score(sides[0], stored.outcome.scores) == pytest.approx(best, abs=1e-4)
        assert overall_score(sides[1], stored.outcome.scores) == pytest.approx(worst, abs=1e-4)
        values = [score.value for score in stored.outcome.scores]
        assert None not in values
        assert best == pytest.approx(max(value for value in values if value is not None), abs=1e-4)
        assert best > worst
