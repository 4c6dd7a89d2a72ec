"""What a person would write without this project: a datashaded map, a lasso and a table, in plain Panel.

Run as ``python -m tests.benchmarks._plain XY.npy PORT``. The lasso is tested with matplotlib's Path, the table is a
remote Tabulator of the first hundred selected rows.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np


def app(xy: np.ndarray) -> Any:
    """The page: ``xy`` (n, 2) float."""
    import holoviews as hv
    import pandas as pd
    import panel as pn
    from bokeh.events import SelectionGeometry
    from holoviews.operation.datashader import rasterize
    from matplotlib.path import Path as Outline

    pn.extension("tabulator")
    hv.extension("bokeh")
    frame = pd.DataFrame({"x": xy[:, 0], "y": xy[:, 1], "score": np.random.default_rng(0).random(len(xy))})
    table = pn.widgets.Tabulator(
        frame.head(0), pagination="remote", page_size=25, disabled=True, css_classes=["rk"], width=600
    )

    def lasso(event: Any) -> None:
        if not event.final or event.geometry["type"] != "poly":
            return
        outline = np.column_stack([event.geometry["x"], event.geometry["y"]])
        inside = np.flatnonzero(Outline(outline).contains_points(xy))
        table.value = frame.iloc[inside].sort_values("score", ascending=False).head(100)

    def hook(plot: Any, element: Any) -> None:
        plot.state.on_event(SelectionGeometry, lasso)

    points = rasterize(hv.Points(frame, ["x", "y"])).opts(
        tools=["lasso_select"], active_tools=["lasso_select"], width=680, height=680, hooks=[hook]
    )
    return pn.Row(points, table)


def main() -> None:
    """Serve the page of the positions in a file."""
    import panel as pn

    xy = np.load(sys.argv[1])
    port = int(sys.argv[2])
    pn.serve({"page": lambda: app(xy)}, port=port, show=False, address="localhost")


if __name__ == "__main__":
    assert Path(sys.argv[1]).exists()
    main()
