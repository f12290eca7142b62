from clairgen.records import Contrast
from clairgen.reporting.pair_metrics import SCALES, Histograms


def test_each_value_falls_into_the_bin_that_holds_it() -> None:
    jaccard, levenshtein, ratio = SCALES
    assert [jaccard.bin(value) for value in (0, 4.99, 5, 99.9, 100)] == [0, 0, 1, 19, 19]
    assert [levenshtein.bin(value) for value in (0, 1, 2, 1024, 10**9)] == [0, 1, 3, 21, 34]  # 0 has its own
    assert [ratio.bin(value) for value in (0, 0.01, 0.125, 1, 1.2, 2, 100)] == [0, 0, 0, 12, 13, 16, 23]


def test_kept_and_dropped_pairs_are_counted_apart_and_an_undefined_ratio_not_at_all() -> None:
    counts = Histograms()
    counts.add(Contrast(4, 0.5, 1.0, "word"), kept=True)
    counts.add(Contrast(4, 0.5, None, "word"), kept=False)
    jaccard, _, ratio = counts.histograms()
    assert (jaccard.kept[10], jaccard.dropped[10]) == (1, 1)
    assert (sum(ratio.kept), sum(ratio.dropped)) == (1, 0)


def test_the_bin_of_zero_lies_apart_below_the_others() -> None:
    _, levenshtein, ratio = SCALES
    assert [levenshtein.start(number) for number in (0, 1, 2)] == [-1, 0, 0.5]
    assert [ratio.start(number) for number in (0, 1)] == [-3, -2.75]
