"""What the map does in the browser: it watches the mouse and the window and tells Python, in one message each.

Bokeh tells Python the geometry of a lasso without the modifier keys, and the keys without the geometry. Both meet in
the browser at mouse-up: ``selectiongeometry`` leaves the shape, ``panend`` brings the keys and sends the two together.
A message is the figure's ``tags``: one dict with its ``kind`` and a running number, so that no two are alike.
"""

from __future__ import annotations

from typing import Any

_SAY = """
const state = (fig.__ax ??= { n: 0 })
const say = (message) => { fig.tags = [{ ...message, n: ++state.n }] }
"""

_POINTER = (
    _SAY
    + """
const name = cb_obj.event_name
const quiet = () => {
  clearTimeout(state.hover)
  if (state.hovering) { state.hovering = false; say({ kind: "leave" }) }
}
if (name === "panstart") {
  state.drag = true; state.shape = null; quiet()
} else if (name === "selectiongeometry") {
  state.shape = cb_obj.geometry
} else if (name === "panend") {
  state.drag = false
  if (state.timer) state.soon(0)
  const shape = state.shape
  state.shape = null
  if (shape) {
    const { shift, ctrl } = cb_obj.modifiers
    const tool = lasso.active ? lasso : box
    const mode = shift && ctrl ? "subtract" : ctrl ? "intersect" : shift ? "append" : tool.mode
    const [x, y] = shape.type === "rect"
      ? [[shape.x0, shape.x1, shape.x1, shape.x0], [shape.y0, shape.y0, shape.y1, shape.y1]]
      : [Array.from(shape.x), Array.from(shape.y)]
    if (x.length > 2) say({ kind: "region", mode, x, y })
  }
} else if (name === "tap") {
  const { shift, ctrl } = cb_obj.modifiers
  say({ kind: "tap", x: cb_obj.x, y: cb_obj.y, shift, ctrl })
} else if (name === "mousemove") {
  clearTimeout(state.hover)
  if (!state.drag) {
    const { x, y, sx, sy } = cb_obj
    state.hover = setTimeout(() => { state.hovering = true; say({ kind: "hover", x, y, sx, sy }) }, 70)
  }
} else if (name === "mouseleave") {
  quiet()
}
"""
)

# One window is asked for at a time, the next when its picture is there: a pan or a wheel never queues frames. During a
# drag the next is asked for when the hand rests or lets go, or a quarter of a second has passed.
_WINDOW = (
    _SAY
    + """
const PATIENCE = 400
const ask = () => {
  state.timer = 0
  state.since = undefined
  const w = fig.inner_width, h = fig.inner_height, xr = fig.x_range, yr = fig.y_range
  if (!(w > 20 && h > 20)) return
  const ux = (xr.end - xr.start) / w, uy = (yr.end - yr.start) / h
  if (Math.abs(ux / uy - 1) > 2e-3) {
    const u = Math.max(ux, uy), x = (xr.start + xr.end) / 2, y = (yr.start + yr.end) / 2
    xr.setv({ start: x - u * w / 2, end: x + u * w / 2 })
    yr.setv({ start: y - u * h / 2, end: y + u * h / 2 })
  }
  const window = [xr.start, xr.end, yr.start, yr.end, Math.round(w), Math.round(h)]
  if (state.window && window.every((v, i) => v === state.window[i])) return
  state.window = window
  state.asked = Date.now()
  const [x0, x1, y0, y1, width, height] = window
  say({ kind: "window", x0, x1, y0, y1, width, height })
}
const soon = state.soon = (wait) => { clearTimeout(state.timer); state.timer = setTimeout(ask, wait) }
const now = Date.now()
if (cb_obj === base) {
  state.asked = 0
  if (state.timer && !state.drag) soon(0)
} else if (state.drag) {
  state.since ??= now
  soon(Math.max(Math.min(45, state.since + 250 - now), 0))
} else if (!state.timer) {
  soon(Math.max(state.asked ? state.asked + PATIENCE - now : 0, 12))
}
"""
)


def attach(figure: Any, lasso: Any, box: Any, base: Any) -> None:
    """Make a figure report its window, the pointer and every region that is drawn on it, by its ``tags``.

    ``base`` is the source of the picture that answers a window.
    """
    from bokeh.models import CustomJS

    pointer = CustomJS(args={"fig": figure, "lasso": lasso, "box": box}, code=_POINTER)
    for event in ("panstart", "panend", "selectiongeometry", "tap", "mousemove", "mouseleave"):
        figure.js_on_event(event, pointer)
    window = CustomJS(args={"fig": figure, "base": base}, code=_WINDOW)
    for span in (figure.x_range, figure.y_range):
        span.js_on_change("start", window)
        span.js_on_change("end", window)
    figure.js_on_change("inner_width", window)
    figure.js_on_change("inner_height", window)
    base.js_on_change("data", window)
