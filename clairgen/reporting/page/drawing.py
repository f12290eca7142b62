"""Charts as inline SVG, drawn by Vega-Lite in a bundled engine: no network, no browser, no script in the page.

Its SVG says everything in attributes, so a Content-Security-Policy without inline styles lets it stand, colours may be the
page's own variables, which follow dark mode, and each mark brings a label for a screen reader.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import vl_convert
from markupsafe import Markup

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

    What stands in rows and layers must be numbers and clairgen's own names: the engine escapes text, but nobody checks it here.
    """
    fit = {"type": "fit", "contains": "padding"}  # so that charts side by side are of one size
    specification = {"autosize": fit, "data": {"values": rows}, "layer": layers, "config": _CONFIG, **size}
    return Markup(vl_convert.vegalite_to_svg(specification, allowed_base_urls=[]))  # noqa: S704


def colours(field: str, by_value: Mapping[str, str]) -> dict[str, Any]:
    """A colour for each value of a field, without a legend: the page has its own."""
    scale = {"domain": list(by_value), "range": list(by_value.values())}
    return {"field": field, "type": "nominal", "scale": scale, "legend": None}
