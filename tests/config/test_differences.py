from clairgen.config.differences import Difference, differences, sentence


def test_a_difference_is_the_path_and_both_values() -> None:
    before = {"models": {"target": {"model": "a", "temperature": 1}, "judge": {"model": "b"}}, "seed": 0}
    now = {"models": {"target": {"model": "a", "temperature": 0.5, "max_tokens": 9}}, "seed": 0}
    assert list(differences(before, now)) == [
        Difference(("models", "judge"), {"model": "b"}, None),
        Difference(("models", "target", "max_tokens"), None, 9),
        Difference(("models", "target", "temperature"), 1, 0.5),
    ]


def test_values_that_are_equal_as_json_do_not_differ() -> None:
    assert not list(differences({"a": 1.0, "b": (1, 2), "c": None}, {"a": 1, "b": [1, 2], "new": {}}))


def test_the_sentence_names_the_path_and_cuts_long_values() -> None:
    assert sentence(Difference(("models", "target", "stop"), None, ["x"])) == ('models.target.stop: nothing -> ["x"]')
    assert sentence(Difference(("a",), "x" * 100, 1)) == f"a: {'x' * 60}… -> 1"
