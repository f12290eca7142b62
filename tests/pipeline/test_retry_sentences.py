from clairgen.pipeline.failures import retry_sentences


def test_what_may_succeed_is_offered_and_what_the_others_need_is_said() -> None:
    assert retry_sentences({}, "AGAIN") == []
    assert retry_sentences({"timed-out": 3}, "AGAIN") == ["Try them again with: AGAIN --retry-failed"]
    assert retry_sentences({"blank-prompt": 2}, "AGAIN") == [
        (
            "2 failed tasks would fail again unless something changes (2 blank-prompt: correct these rows of the "
            "data set; corrected ones are new tasks); then add --retry-failed."
        )
    ]
    mixed = retry_sentences({"server-error": 3, "truncated": 1200, "http-418": 1}, "AGAIN")
    assert mixed == [
        "3 failed tasks may succeed without a change; try again with: AGAIN --retry-failed",
        (
            "1,201 other failed tasks would fail again unless something changes "
            "(1,200 truncated: a larger max_tokens; 1 http-418: what the server says); then add --retry-failed."
        ),
    ]
