"""Charts as inline SVG, drawn by Vega-Lite in a bundled engine: no network, no browser, no script in the page."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import vl_convert
from markupsafe import Markup

from clairgen.reporting.pair_metrics import Histogram
from clairgen.reporting.shortcut_audit import Audit

MOST_BARS = 12


def histogram_svg(histogram: Histogram, shown: range) -> Markup:
    """A histogram of kept pairs with the dropped ones stacked above, over the bins of `shown`."""
    scale = histogram.scale
    bars = [
        {
            "from": scale.lowest + scale.step * number,
            "to": scale.lowest + scale.step * (number + 1),
            "pairs": counts[number],
            "outcome": outcome,
            "order": order,
        }
        for order, (outcome, counts) in enumerate((("kept", histogram.kept), ("dropped", histogram.dropped)))
        for number in shown
        if counts[number]
    ]
    ends = [scale.lowest + scale.step * shown.start, scale.lowest + scale.step * shown.stop]
    axis: dict[str, Any] = {"title": scale.title, "grid": False, "labelFlush": False, "labelOverlap": "greedy"}
    if scale.logarithmic:
        powers = range(math.ceil(ends[0]), math.floor(ends[1]) + 1)
        every = 2 if len(powers) > 8 else 1
        axis["labelExpr"] = "format(pow(2, datum.value), datum.value < 0 ? '.3~f' : ',d')"
        axis["values"] = [power for power in powers if power % every == 0]
    else:
        axis["values"] = [ends[0] + (ends[1] - ends[0]) * fifth / 5 for fifth in range(6)]
    return layers_svg(
        bars,
        [{"mark": {"type": "bar", "binSpacing": 1}, "encoding": {
            "x": {"field": "from", "type": "quantitative", "bin": {"binned": True, "step": scale.step},
                  "scale": {"domain": ends}, "axis": axis},
            "x2": {"field": "to"},
            "y": {"field": "pairs", "type": "quantitative",
                  "axis": {"title": "pairs", "tickCount": 4, "tickMinStep": 1, "minExtent": 34}},
            "color": color_encoding("outcome", {"kept": "var(--accent)", "dropped": "var(--muted)"}),
            "order": {"field": "order"},
        }}],
        width=360,
        height=190,
    )  # fmt: skip


def shift_svg(audit: Audit) -> Markup:
    """The shift of each feature from rejected to chosen, in standard deviations, with 95% intervals."""
    bars: list[dict[str, Any]] = []
    for one in audit.shifts:
        mean, error, n = one.shift.mean, one.shift.se, one.shift.n
        if mean and error:
            middle, half = mean / (error * math.sqrt(n)), 1.96 / math.sqrt(n)
            bars.append(
                {"feature": one.feature, "effect": middle, "low": middle - half, "high": middle + half,
                 "shift": "clear" if one.clear else "within chance"}
            )  # fmt: skip
    bars = sorted(bars, key=lambda bar: -abs(bar["effect"]))[:MOST_BARS]
    feature = {
        "field": "feature",
        "type": "nominal",
        "sort": None,
        # The reader's fonts may be wider than those that the engine measures with.
        "axis": {"title": None, "ticks": False, "domain": False, "minExtent": 140},
    }
    effect = {"title": "less in chosen  ←   standard deviations   →  more in chosen", "tickCount": 6}
    spread = {"type": "quantitative", "field": "low", "axis": effect}
    return layers_svg(
        bars,
        [
            {
                "mark": {"type": "bar", "height": {"band": 0.62}},
                "encoding": {
                    "y": feature,
                    "x": {"field": "effect", "type": "quantitative", "axis": effect},
                    "color": color_encoding("shift", {"clear": "var(--accent)", "within chance": "var(--muted)"}),
                },
            },
            {
                "mark": {"type": "rule", "color": "var(--text)", "strokeWidth": 1},
                "encoding": {"y": feature, "x": spread, "x2": {"field": "high"}},
            },
        ],
        width=460,
        height=60 + 22 * max(len(bars), 1),
    )


def filled(histograms: Sequence[Histogram]) -> range:
    """The range of bins, from first to last, that any of these histograms (all on one scale) fills; all bins if none does."""
    used = [
        number for one in histograms for number in range(one.scale.count) if one.kept[number] or one.dropped[number]
    ]
    count = histograms[0].scale.count
    return range(min(used), max(used) + 1) if used and histograms[0].scale.logarithmic else range(count)


_CONFIG = {
    "font": "system-ui, sans-serif",
    "background": None,
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--soft)", "titleColor": "var(--soft)", "domainColor": "var(--line)", "tickColor": "var(--line)",
        "gridColor": "var(--line)", "titleFontWeight": "normal", "labelFontSize": 11, "titleFontSize": 11,
    },
}  # fmt: skip


def layers_svg(rows: Sequence[Mapping[str, Any]], layers: list[dict[str, Any]], **size: float) -> Markup:
    """Layers of marks over the same rows; `size` is the whole chart's width and height in pixels.

    Rows and layers must hold only numbers and clairgen's own names: the engine escapes text, but nothing here checks that.
    """
    fit = {"type": "fit", "contains": "padding"}  # so that charts side by side are of one size
    specification = {"autosize": fit, "data": {"values": rows}, "layer": layers, "config": _CONFIG, **size}
    return Markup(vl_convert.vegalite_to_svg(specification, allowed_base_urls=[]))  # noqa: S704


def color_encoding(field: str, by_value: Mapping[str, str]) -> dict[str, Any]:
    """A Vega-Lite color encoding with one color for each value of a field, without a legend: the page has its own."""
    scale = {"domain": list(by_value), "range": list(by_value.values())}
    return {"field": field, "type": "nominal", "scale": scale, "legend": None}
