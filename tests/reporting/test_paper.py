from clairgen.reporting.pair_metrics import TABLE_1, PaperContrast


def test_table_1_of_the_paper() -> None:
    assert {
        "clair": PaperContrast(43.11, 1108, 29_000),
        "judge-on-policy": PaperContrast(39.06, 1258, 32_000),
        "judge-off-policy": PaperContrast(18.05, 1203, 29_000),
        "stronger-preferred": PaperContrast(24.35, 1607, 29_000),
    } == TABLE_1
