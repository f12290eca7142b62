from itertools import pairwise

from clairgen.keys import canonical_json, content_key, pair_id, seed_for
from clairgen.records import Message, SampleRange, Sampling

HELLO = (Message("user", "hello"),)


def key(**changes: object) -> str:
    fields: dict[str, object] = {"temperature": 0.7, "max_tokens": 10, "seed": 0} | changes
    return content_key("m", None, HELLO, Sampling(**fields), 0)  # type: ignore[arg-type]  # fields by name


def test_equal_numbers_are_one_whatever_their_type() -> None:
    assert canonical_json({"b": 1.0, "a": [2, 2.5]}) == '{"a":[2,2.5],"b":1}'
    assert key(temperature=1) == key(temperature=1.0)


def test_absent_is_not_null() -> None:
    assert key() != key(extra={"logprobs": None})
    assert key(top_p=None) == key()


def test_every_sampling_field_model_revision_and_sample_makes_another_key() -> None:
    keys = [
        key(),
        key(temperature=0.8),
        key(top_p=0.9),
        key(max_tokens=11),
        key(stop=("x",)),
        key(seed=1),
        key(extra={"min_p": 0.1}),
        content_key("m", "r", HELLO, Sampling(0.7, None, 10, (), 0), 0),
        content_key("m", None, HELLO, Sampling(0.7, None, 10, (), 0), 1),
        content_key("m2", None, HELLO, Sampling(0.7, None, 10, (), 0), 0),
        content_key("m", None, (Message("system", "hello"),), Sampling(0.7, None, 10, (), 0), 0),
    ]
    assert len(set(keys)) == len(keys)


def test_key_is_stable_between_versions() -> None:
    assert key() == "658d14ebce46c3836a3a1a969df51688be8b8ac5c006c53d9eff47124f474005"


def test_canonical_text_is_ascii_and_takes_half_a_surrogate_pair() -> None:
    assert canonical_json("é\ud83d") == '"\\u00e9\\ud83d"'


def test_seeds_differ_by_key_seed_and_redraw_and_fit_every_engine() -> None:
    seeds = [seed_for(0, key()), seed_for(1, key()), seed_for(0, key(seed=1)), seed_for(0, key(), redraw=1)]
    assert len(set(seeds)) == 4
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert seed_for(0, key()) == seed_for(0, key())


def test_pair_id_depends_on_task_and_recipe() -> None:
    assert len({pair_id("a", "clair"), pair_id("b", "clair"), pair_id("a", "stronger-preferred")}) == 3
    assert len(pair_id("a", "clair")) == 32


def test_sample_ranges_of_purposes_do_not_meet() -> None:
    starts = sorted(SampleRange)
    assert all(later - earlier >= 1_000_000 for earlier, later in pairwise(starts))
