"""Charts as inline SVG, drawn by Vega-Lite in a bundled engine: no network, no browser, no script in the page.

Its SVG says everything in attributes, so a Content-Security-Policy without inline styles lets it stand, colours may be the
page's own variables, which follow dark mode, and each mark brings a label for a screen reader.
"""

import math
from collections.abc import Sequence
from typing import Any

import vl_convert
from markupsafe import Markup

from clairgen.reporting.audit import Audit
from clairgen.reporting.histograms import Histogram

MOST_BARS = 12

_CONFIG = {
    "font": "system-ui, sans-serif",
    "background": None,
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--soft)", "titleColor": "var(--soft)", "domainColor": "var(--line)", "tickColor": "var(--line)",
        "gridColor": "var(--line)", "titleFontWeight": "normal", "labelFontSize": 11, "titleFontSize": 11,
    },
}  # fmt: skip


def histogram_svg(histogram: Histogram, shown: range) -> Markup:
    """Kept pairs with the dropped ones stacked above them, over the bins of `shown`."""
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
    return _svg(
        bars,
        {"type": "bar", "binSpacing": 1},
        {
            "x": {"field": "from", "type": "quantitative", "bin": {"binned": True, "step": scale.step},
                  "scale": {"domain": ends}, "axis": axis},
            "x2": {"field": "to"},
            "y": {"field": "pairs", "type": "quantitative",
                  "axis": {"title": "pairs", "tickCount": 4, "tickMinStep": 1, "minExtent": 34}},
            "color": _colours("outcome", {"kept": "var(--accent)", "dropped": "var(--muted)"}),
            "order": {"field": "order"},
        },
        width=360,
        height=190,
    )  # fmt: skip


def shift_svg(audit: Audit) -> Markup:
    """How far chosen and rejected lie apart in each feature, in standard deviations, with 95% intervals."""
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
        # Fonts of the reader's system may be wider than those that the engine measures with.
        "axis": {"title": None, "ticks": False, "domain": False, "minExtent": 140},
    }
    effect = {"title": "less in chosen  ←   standard deviations   →  more in chosen", "tickCount": 6}
    spread = {"type": "quantitative", "field": "low", "axis": effect}
    return _layers(
        bars,
        [
            {
                "mark": {"type": "bar", "height": {"band": 0.62}},
                "encoding": {
                    "y": feature,
                    "x": {"field": "effect", "type": "quantitative", "axis": effect},
                    "color": _colours("shift", {"clear": "var(--accent)", "within chance": "var(--muted)"}),
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
    """The bins from the first to the last that any of the histograms, all on one scale, fills; all bins if none does."""
    used = [
        number for one in histograms for number in range(one.scale.count) if one.kept[number] or one.dropped[number]
    ]
    count = histograms[0].scale.count
    return range(min(used), max(used) + 1) if used and histograms[0].scale.logarithmic else range(count)


def _colours(field: str, colours: dict[str, str]) -> dict[str, Any]:
    scale = {"domain": list(colours), "range": list(colours.values())}
    return {"field": field, "type": "nominal", "scale": scale, "legend": None}


def _svg(bars: list[dict[str, Any]], mark: dict[str, Any], encoding: dict[str, Any], **size: float) -> Markup:
    return _layers(bars, [{"mark": mark, "encoding": encoding}], **size)


def _layers(bars: list[dict[str, Any]], layers: list[dict[str, Any]], **size: float) -> Markup:
    fit = {"type": "fit", "contains": "padding"}  # so that charts side by side are of one size
    specification = {"autosize": fit, "data": {"values": bars}, "layer": layers, "config": _CONFIG, **size}
    # Trusted as markup: the engine escapes text, and what it is given are numbers and clairgen's own names.
    return Markup(vl_convert.vegalite_to_svg(specification, allowed_base_urls=[]))  # noqa: S704
