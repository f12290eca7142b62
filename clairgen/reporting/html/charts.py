"""Charts as inline SVG, drawn by Vega-Lite in a bundled engine: no network, no browser, no script in the page."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import vl_convert
from markupsafe import Markup, escape

from clairgen.patterns import lazy_pattern
from clairgen.reporting.pair_metrics import Histogram, Scale
from clairgen.reporting.shortcut_audit import Audit

MOST_BARS = 12
_BIN = "https://bin.invalid/"
_LINK = lazy_pattern(rf'<a xlink:href="{_BIN}(\d+)">')
_NO_LABEL: Mapping[str, Any] = {"aria": False}  # a line says nothing by itself to who cannot see it


def histogram_svg(
    histogram: Histogram,
    shown: range,
    published: float | None = None,
    highest: float | None = None,
    links: Mapping[int, str] | None = None,
) -> Markup:
    """A histogram of kept pairs with the dropped ones stacked above, over the bins of `shown`; `published` is a line.

    Bars are numbers of pairs; with `highest`, shares in percent on an axis that goes up to at least that. `links` has an
    address for each bin that leads somewhere.
    """
    scale = histogram.scale
    unit = 1 if highest is None else 100 / max(_pairs_in(histogram), 1)
    bars = [
        {
            "from": scale.start(number),
            "to": scale.start(number) + scale.step,
            "pairs": unit * counts[number],
            "outcome": outcome,
            "order": order,
        }
        for order, (outcome, counts) in enumerate((("kept", histogram.kept), ("dropped", histogram.dropped)))
        for number in shown
        if counts[number]
    ]
    ends = [scale.start(shown.start), scale.start(shown.stop)]
    axis: dict[str, Any] = {"title": scale.title, "grid": False, "labelFlush": False, "labelOverlap": "greedy"}
    if scale.logarithmic:
        lowest = max(scale.lowest, ends[0])
        powers = range(math.ceil(lowest), math.floor(ends[1]) + 1)
        every = 2 if len(powers) > 8 else 1
        zero = f"datum.value < {scale.lowest} ? '0' : " if scale.zero_bin else ""
        axis["labelExpr"] = f"{zero}format(pow(2, datum.value), datum.value < 0 ? '.3~f' : ',d')"
        of_zero = [scale.start(0) + scale.step / 2] if scale.zero_bin and shown.start == 0 else []
        axis["values"] = of_zero + [power for power in powers if power % every == 0]
    else:
        axis["values"] = [ends[0] + (ends[1] - ends[0]) * fifth / 5 for fifth in range(6)]
    x = {"field": "from", "type": "quantitative", "bin": {"binned": True, "step": scale.step},
         "scale": {"domain": ends}, "axis": axis}  # fmt: skip
    most = max((histogram.kept[number] + histogram.dropped[number] for number in shown), default=0)
    ticks = whole_ticks(most if highest is None else math.ceil(highest))
    title = "pairs" if highest is None else "% of pairs"
    counts = {"title": title, "format": ",d", "values": ticks, "minExtent": 34}
    layers: list[dict[str, Any]] = [
        {
            "mark": {"type": "bar", "binSpacing": 1},
            "encoding": {
                "x": x,
                "x2": {"field": "to"},
                "y": {
                    "field": "pairs",
                    "type": "quantitative",
                    "axis": counts,
                    "scale": {"domain": [0, ticks[-1]], "nice": False},
                },
                "color": color_encoding("outcome", {"kept": "var(--accent)", "dropped": "var(--muted)"}),
                "order": {"field": "order"},
            },
        }
    ]
    if published is not None:
        line = {"type": "rule", "color": "var(--text)", "strokeWidth": 1.5, "strokeDash": [4, 3], **_NO_LABEL}
        once: dict[str, Any] = {"values": [{}]}  # not for each row of the bars
        layers.append({"data": once, "mark": line, "encoding": {"x": {"datum": scale.position(published)}}})
    filled_bins = [number for number in shown if histogram.kept[number] or histogram.dropped[number]]
    linked = {number: links[number] for number in filled_bins if number in links} if links else {}
    if linked:
        layers.append(_link_layer(scale, linked, x))
    return _with_links(layers_svg(bars, layers, width=360, height=190), histogram, linked)


def _link_layer(scale: Scale, linked: Iterable[int], x: Mapping[str, Any]) -> dict[str, Any]:
    """Invisible bars as high as the chart, which link to the numbers of their bins."""
    places = [
        {"from": scale.start(number), "to": scale.start(number) + scale.step, "address": f"{_BIN}{number}"}
        for number in linked
    ]
    at = {"x": x, "x2": {"field": "to"}, "y": {"value": 0}, "y2": {"value": "height"}}
    once: dict[str, Any] = {"values": places}
    mark = {"type": "bar", "binSpacing": 0, "fill": "transparent", "aria": False}
    return {"data": once, "mark": mark, "encoding": {**at, "href": {"field": "address"}}}


def _with_links(svg: Markup, histogram: Histogram, linked: Mapping[int, str]) -> Markup:
    """The chart with the addresses of bins in place of their numbers, and what is in each as its title."""

    def anchor(found: re.Match[str]) -> str:
        number = int(found[1])
        lowest, below = histogram.scale.limits(number)
        limits = [f"from {_short(lowest)}"] if lowest is not None else []
        limits += [f"below {_short(below)}"] if below is not None else []
        counts = f"{histogram.kept[number]:,} kept, {histogram.dropped[number]:,} dropped"
        title = f"{histogram.scale.metric.replace('_', ' ')} {' and '.join(limits)}: {counts}"
        return f'<a href="{escape(linked[number])}" aria-label="{title}"><title>{title}</title>'

    shown = _LINK.sub(anchor, svg).replace(
        ' aria-hidden="true"><a ', "><a "
    )  # links are not hidden from screen readers
    return Markup(shown)  # noqa: S704 - the chart's own, and escaped


def _short(number: float) -> str:
    return f"{number:,.2f}".rstrip("0").rstrip(".")


def highest_share(histogram: Histogram) -> float:
    """The share of the pairs in the fullest bin, in percent."""
    fullest = max(map(sum, zip(histogram.kept, histogram.dropped, strict=True)), default=0)
    return 100 * fullest / max(_pairs_in(histogram), 1)


def whole_ticks(most: int) -> list[int]:
    """About four whole numbers from 0 to at least `most`, a round step apart."""
    power = 10 ** max(len(str(max(most, 1))) - 2, 0)
    step = next(factor * power for factor in (1, 2, 5, 10, 20, 50, 100) if 4 * factor * power >= most)
    return [step * number for number in range(max(-(-most // step), 1) + 1)]


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
                "mark": {"type": "rule", "color": "var(--text)", "strokeWidth": 1, **_NO_LABEL},
                "encoding": {"y": feature, "x": spread, "x2": {"field": "high"}},
            },
        ],
        width=460,
        height=60 + 22 * max(len(bars), 1),
    )


def filled(histograms: Sequence[Histogram], published: Sequence[float] = ()) -> range:
    """The range of bins, from first to last, that any of these histograms (all on one scale) fills; all bins if none does.

    The bins of published values are in it as well.
    """
    used = [
        number for one in histograms for number in range(one.scale.count) if one.kept[number] or one.dropped[number]
    ]
    if used:
        used += [histograms[0].scale.bin(value) for value in published]
    count = histograms[0].scale.count
    return range(min(used), max(used) + 1) if used and histograms[0].scale.logarithmic else range(count)


def _pairs_in(histogram: Histogram) -> int:
    return sum(histogram.kept) + sum(histogram.dropped)


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
