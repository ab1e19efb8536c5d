"""What is drawn, as options for ECharts. Tooltips are drawn as text, not as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from stream_monitor.dashboard.views import Point
from stream_monitor.status.comparisons import Comparison

SOFT: Final = "#8a94a0"
NOW: Final = "#3b82f6"
GREY: Final = "#9aa4b0"
RED: Final = "#d9534f"


def bars(comparison: Comparison) -> dict[str, Any]:
    """A comparison side by side: grey is the reference, blue is now.

    >>> options = bars(Comparison(labels=("a",), current=(100.0,), reference=(50.0,)))
    >>> [(s["name"], s["data"]) for s in options["series"]]
    [('reference', [50.0]), ('now', [100.0])]
    """
    series = [("reference", comparison.reference, GREY), ("now", comparison.current, NOW)]
    return _axes(comparison.labels, rotate=35 if len(comparison.labels) > 6 else 0) | {
        "series": [
            {"name": name, "type": "bar", "data": list(data), "itemStyle": {"color": colour}, "barGap": "5%"}
            for name, data, colour in series
            if data
        ],
    }


def line(history: Sequence[Point], metric: str) -> dict[str, Any]:
    """A metric over windows, with its threshold. A gap is a window without a value.

    >>> [s["data"] for s in line([Point(start="2026-01-01T00:00:00Z", value=0.1, threshold=None)], "psi")["series"]]
    [[0.1], [None]]
    """
    series = [
        (metric, [p.value for p in history], NOW, "solid"),
        ("threshold", [p.threshold for p in history], RED, "dashed"),
    ]
    return _axes([f"{p.start[5:10]} {p.start[11:16]}" for p in history], rotate=0) | {
        "series": [
            {
                "name": name,
                "type": "line",
                "data": data,
                "showSymbol": len(history) < 3,
                "itemStyle": {"color": colour},
                "lineStyle": {"color": colour, "width": 2, "type": style},
            }
            for name, data, colour, style in series
        ],
    }


def _axes(labels: Sequence[str], rotate: int) -> dict[str, Any]:
    return {
        "animation": False,
        "textStyle": {"fontFamily": "system-ui, sans-serif"},
        "grid": {"left": 8, "right": 8, "top": 34, "bottom": 8, "containLabel": True},
        "legend": {"top": 0, "left": 0, "textStyle": {"color": SOFT}, "selectedMode": False},
        "tooltip": {"trigger": "axis", "renderMode": "richText"},
        "xAxis": {
            "type": "category",
            "data": list(labels),
            "axisLabel": {"color": SOFT, "rotate": rotate, "hideOverlap": True},
        },
        "yAxis": {
            "type": "value",
            "axisLabel": {"color": SOFT},
            "splitLine": {"lineStyle": {"color": "#8a94a033"}},
        },
    }
