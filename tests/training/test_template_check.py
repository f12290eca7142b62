"""A model's chat template and tokenizer are tried on pairs as training would render them."""

from pathlib import Path

import pytest

from clairgen.cli.template_check import template_check_of
from clairgen.errors import InputError
from clairgen.records import Message
from clairgen.row_pairs import RowPair
from tests.cli.commands import clairgen
from tests.training.small_run import saved_model, written

ENDLESS = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
STRIPPED = "{% for m in messages %}{{ m['content'].split('</think>')[-1] }}{{ eos_token }}{% endfor %}"
SHORT = "{% for m in messages %}{{ m['content'][:3] }}{{ eos_token }}{% endfor %}"
REFUSES = "{{ raise_exception('no system role') }}"


def rules(model: Path, template: str | None, chosen: str = "It is 4.", rejected: str = "It's 5.") -> set[str]:
    file = None
    if template is not None:
        file = model.parent / "template.jinja"
        file.write_text(template, encoding="utf-8")
    check = template_check_of(str(model), file)
    return {hit.rule for hit in check(RowPair((Message("user", "2 + 2?"),), chosen, rejected))}


def test_a_template_that_fits_has_no_fault(tmp_path: Path) -> None:
    assert rules(saved_model(tmp_path / "model"), None) == set()


@pytest.mark.parametrize(
    ("template", "chosen", "rule"),
    [
        (ENDLESS, "It is 4.", "template-without-end-token"),
        (STRIPPED, "Hm.</think>It is 4.", "template-changes-answer"),
        (SHORT, "It's 4.", "template-makes-identical"),
        (REFUSES, "It is 4.", "template-fails"),
    ],
)
def test_each_fault_of_a_template_is_found_by_its_name(tmp_path: Path, template: str, chosen: str, rule: str) -> None:
    assert rule in rules(saved_model(tmp_path / "model"), template, chosen)


def test_a_special_token_in_the_text_is_found(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    model = saved_model(tmp_path / "model")
    end = AutoTokenizer.from_pretrained(model).eos_token
    assert "special-tokens-in-text" in rules(model, None, f"It is 4.{end}")


def test_a_model_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        template_check_of(str(tmp_path / "absent"), None)


async def test_the_command_names_a_template_without_an_end_token(tmp_path: Path) -> None:
    (tmp_path / "t.jinja").write_text(ENDLESS, encoding="utf-8")
    rows = [{"prompt": f"{n}?", "chosen": f"It is {n}.", "rejected": f"It's {n}!"} for n in range(4)]
    data, model = written(tmp_path / "data.jsonl", rows), saved_model(tmp_path / "model")
    done = await clairgen("lint", data, "--model", model, "--chat-template", tmp_path / "t.jinja")
    assert done.code == 1
    assert "error template-without-end-token 4 of 4 (100.0%)" in done.out
    assert (await clairgen("lint", data, "--model", model)).code == 0
