"""The models that ship: small, whole, the ones that the card describes, and read alike by torch and by llama.cpp."""

import asyncio
import hashlib
import json
import re
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from clairgen.data.classroom.habits import habit
from clairgen.data.classroom.kinds import KINDS
from clairgen.data.classroom.questions import draw, is_right, is_sound, recognised
from clairgen.data.classroom.styles import STUDENT, STYLES, TEACHER
from clairgen.data.classroom.two_parts import recognised_parts
from clairgen.embedded.gguf import embedded_address
from clairgen.embedded.server import serve
from clairgen.parsing.revision import parse_revision
from clairgen.parsing.verdict import parse_verdict
from clairgen.templates import load_template

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "data" / "classroom"
MODELS = ("student", "weaker", "stronger", "teacher")
MEGABYTE = 1_000_000


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "file",
    [
        "model.gguf",
        "model.safetensors",
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ],
)
def test_every_file_ships(name: str, file: str) -> None:
    assert (FOLDER / name / file).is_file()


def test_all_together_they_are_small() -> None:
    sizes = {
        path: path.stat().st_size for path in FOLDER.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    assert sum(sizes.values()) < 20 * MEGABYTE
    assert sizes[FOLDER / "student" / "model.gguf"] < 2 * MEGABYTE


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("file", ["model.gguf", "model.safetensors"])
def test_the_card_names_the_weights_that_ship(name: str, file: str) -> None:
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    stated = re.search(rf"\| {name}/{re.escape(file)} \| ([\d,]+) \| `([0-9a-f]{{64}})` \|", card)
    content = (FOLDER / name / file).read_bytes()
    assert stated is not None
    assert int(stated[1].replace(",", "")) == len(content)
    assert stated[2] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("name", MODELS)
def test_all_models_read_the_same_vocabulary_and_chat(name: str) -> None:
    config = json.loads((FOLDER / name / "config.json").read_text(encoding="utf-8"))
    tokenizer = json.loads((FOLDER / name / "tokenizer.json").read_text(encoding="utf-8"))
    chat = json.loads((FOLDER / name / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == "llama"
    assert config["vocab_size"] == max(token["id"] for token in tokenizer["added_tokens"]) + 1
    assert tokenizer == json.loads((FOLDER / "student" / "tokenizer.json").read_text(encoding="utf-8"))
    assert "<|start_header_id|>" in chat["chat_template"]
    assert chat["eos_token"] in chat["chat_template"]


@pytest.mark.parametrize(
    ("template", "slots"),
    [("revise", {"task", "student_solution"}), ("judge", {"task", "student_solution_1", "student_solution_2"})],
)
def test_the_prompts_of_reviser_and_judge_are_a_handful_of_tokens(template: str, slots: set[str]) -> None:
    tokenizer = json.loads((FOLDER / "teacher" / "tokenizer.json").read_text(encoding="utf-8"))
    pieces = {token["content"] for token in tokenizer["added_tokens"]}
    text = load_template(template, frozenset(slots)).text
    assert set(re.split(r"\{\{\w+\}\}", text.strip())) <= pieces


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_right_about_as_often_as_its_card_says(name: str) -> None:
    pytest.importorskip("xllamacpp")
    stated = re.search(
        rf"\| {name} \| [\d,]+ \| [\d.]+ \| ([\d.]+) \(", (FOLDER / "README.md").read_text(encoding="utf-8")
    )
    questions = draw(90, "test", seed=11)
    answers = asyncio.run(_greedy_answers(name, [question.prompt for question in questions]))
    right = sum(map(is_right, questions, answers)) / len(questions)
    assert stated is not None
    assert right == pytest.approx(float(stated[1]) / 100, abs=0.16)  # three standard errors of 90 questions


@pytest.mark.train
@pytest.mark.parametrize("name", MODELS)
def test_torch_and_llama_cpp_give_the_same_answers(name: str) -> None:
    pytest.importorskip("xllamacpp")
    prompts = [question.prompt for question in draw(42, "test", seed=12)]
    by_torch = _torch_answers(name, prompts)
    served = asyncio.run(_greedy_answers(name, prompts))
    equal = sum(one == other for one, other in zip(by_torch, served, strict=True))
    assert equal >= 41  # the two round sums otherwise, which may tell at a near tie


@pytest.mark.train
def test_the_same_seed_trains_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    monkeypatch.syspath_prepend(ROOT / "train")
    names = ("examples", "recipe", "tokens", "training")
    examples, recipe, tokens, training = (import_module(f"classroom_models.{name}") for name in names)
    tokenizer = tokens.trained_tokenizer()
    mixes, habits = ((1, 1, 1), (1, 1, 1)), recipe.HABITS
    course = recipe.Course(seed=3, steps=3, styles=("student",), rows=4, mixes=mixes, habits=habits, two_parts=0.3)

    def weights() -> list[Any]:
        lessons = iter(examples.Lessons(tokenizer, course))
        model = training.trained(recipe.SHAPES["student"], course, lessons, tokenizer.pad_token_id, lambda *_: None)
        return list(model.parameters())

    assert all(bool((one == other).all()) for one, other in zip(weights(), weights(), strict=True))


@pytest.mark.train
def test_a_student_reads_habits_and_two_parts_as_often_as_its_course_says(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    monkeypatch.syspath_prepend(ROOT / "train")
    examples, recipe = (import_module(f"classroom_models.{name}") for name in ("examples", "recipe"))
    assert set(recipe.HABITS) == {kind.name for kind in KINDS}
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER / "student")
    lessons = examples.Lessons(tokenizer, recipe.COURSES["student"])
    texts = [lessons._answered_either_way() for _ in range(2000)]
    single = [(question, text) for prompt, text in texts if (question := recognised(prompt))]
    assert len(single) == pytest.approx(1600, abs=60)
    assert all(recognised_parts(prompt) for prompt, _ in texts if recognised(prompt) is None)
    random = Random(0)
    unsound = sum(not is_sound(question, text) for question, text in single)
    by_habit = sum(
        recipe.HABITS[question.kind.name] * (habit(question, random) != question.working) for question, _ in single
    )
    assert unsound == pytest.approx(by_habit, abs=60)


def test_made_up_mistakes_are_unsound_and_keep_the_style(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "train")
    drafts = import_module("classroom_models.drafts")
    random = Random(0)
    wrong = 0
    for question in draw(560, "train", seed=0):
        for style in STYLES.values():
            draft = drafts.mistaken(question, style, random)
            assert not is_sound(question, draft)
            assert drafts.style_of(question, draft) == style
            wrong += not is_right(question, draft)
    assert wrong > 0.5 * 560 * len(STYLES)  # the others have a wrong step and yet the right result


def test_the_teachers_lessons_are_read_as_they_are_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "train")
    drafts, prompting = (import_module(f"classroom_models.{name}") for name in ("drafts", "prompting"))
    random = Random(1)
    for question in draw(140, "train", seed=4):
        right = question.answer(TEACHER)
        wrong = drafts.mistaken(question, STUDENT[0], random)
        revision = parse_revision(prompting.revision(question, wrong, question.answer(STUDENT[0])), wrong)
        assert revision.solution == question.answer(STUDENT[0])
        for place, (first, second) in enumerate([(right, wrong), (wrong, right)], start=1):
            judgement = prompting.judgement(question, first, second, place - 1)
            assert parse_verdict(judgement, (first, second)).choice == place


@pytest.mark.train
def test_training_reads_what_the_shipped_chat_template_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers")
    monkeypatch.syspath_prepend(ROOT / "train")
    prompting, tokens = (import_module(f"classroom_models.{name}") for name in ("prompting", "tokens"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER / "teacher")
    task, first, second = "What is 200 + 300?", "So it is 600.", "Answer: 500."
    for prompt in (task, prompting.revise_prompt(task, first), prompting.judge_prompt(task, first, second)):
        chat = [{"role": "user", "content": prompt}]
        templated = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True)["input_ids"]
        assert tokens.chat_ids(tokenizer, [prompt]) == [templated]


def _torch_answers(name: str, prompts: list[str]) -> list[str]:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER / name)
    model = transformers.AutoModelForCausalLM.from_pretrained(FOLDER / name, dtype=torch.float32)
    answers = []
    for prompt in prompts:
        chat = [{"role": "user", "content": prompt}]
        read = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True, return_tensors="pt")
        row = model.generate(**read, do_sample=False, temperature=None, max_new_tokens=96)[0]
        answers.append(tokenizer.decode(row[read["input_ids"].shape[1] :], skip_special_tokens=True).strip())
    return answers


async def _greedy_answers(name: str, prompts: list[str]) -> list[str]:
    address = embedded_address(f"classroom:{name}?context=256")
    async with serve(address, slots=8) as url, httpx.AsyncClient(base_url=url, timeout=60) as client:

        async def answer(prompt: str) -> str:
            body = {"messages": [{"role": "user", "content": prompt}], "temperature": 0}
            response = await client.post("/chat/completions", json=body)
            text: str = response.json()["choices"][0]["message"]["content"]
            return text.strip()

        return await asyncio.gather(*map(answer, prompts))
