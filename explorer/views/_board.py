"""A board: markup made in Python, and one message back for each thing that is clicked on it.

The ranking, the legend and the status line are HTML with few moving parts, so they are drawn by Python (where they
are tested without a browser) and shown by one small component. An element with ``data-do`` is live: a click, Enter
or a choice calls the board's handler with what stands in its ``data-`` attributes, its value and the modifier keys.
The component's script is part of the page: nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import panel as pn
import param

from explorer.views._theme import BODY_CSS

Handler = Callable[[dict[str, Any]], None]

_SHOW = """
export function render({ model, el }) {
  el.style.cssText = "height:100%;width:100%;min-height:0"
  const box = document.createElement("div")
  box.className = "ax-board"
  const live = (ev) => ev.composedPath().find((n) => n instanceof Element && n.dataset?.do !== undefined)
  const tell = (ev, extra = {}) => {
    const at = live(ev)
    if (!at) return
    ev.preventDefault()
    model.send_msg({ ...at.dataset, ...extra, shift: !!ev.shiftKey, ctrl: !!(ev.ctrlKey || ev.metaKey) })
  }
  const typed = (at) => at instanceof HTMLSelectElement || at instanceof HTMLInputElement
  box.addEventListener("click", (ev) => { if (!typed(live(ev))) tell(ev) })
  box.addEventListener("change", (ev) => {
    if (live(ev) instanceof HTMLSelectElement) tell(ev, { value: live(ev).value })
  })
  box.addEventListener("keydown", (ev) => {
    const at = live(ev)
    if (ev.key !== "Enter" || !at || at instanceof HTMLButtonElement) return
    tell(ev, at instanceof HTMLInputElement ? { value: at.value } : {})
  })
  const show = () => {
    const old = box.querySelector("[data-scroll]")
    const top = old ? old.scrollTop : 0
    const active = box.getRootNode().activeElement
    const writing = active instanceof HTMLInputElement && box.contains(active) ? active : null
    const kept = [...box.querySelectorAll("input[data-keep]")].map((n) => [n.dataset.do, n.value])
    box.innerHTML = model.markup
    for (const [name, value] of kept) {
      const again = box.querySelector(`input[data-do="${name}"]`)
      if (again) again.value = value
    }
    if (writing) box.querySelector(`input[data-do="${writing.dataset.do}"]`)?.focus()
    const now = box.querySelector("[data-scroll]")
    if (now && old && now.dataset.scroll === old.dataset.scroll) now.scrollTop = top
    const seen = box.querySelector("[data-into-view]")
    if (seen) seen.scrollIntoView({ block: "nearest" })
  }
  model.on("markup", show)
  model.on("download", () => {
    const { name, data } = model.download
    if (!name) return
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0))
    const at = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }))
    Object.assign(document.createElement("a"), { href: at, download: name }).click()
    setTimeout(() => URL.revokeObjectURL(at), 10000)
  })
  show()
  el.appendChild(box)
}
"""

_BOX_CSS = ".ax-board { height: 100%; width: 100%; min-height: 0; }"


class Board(pn.custom.JSComponent):
    """Shows ``markup`` and reports clicks.

    Everything in the markup that comes from a catalogue has to be escaped by whoever writes it
    (:func:`explorer.views._theme.escape`); the browser takes the markup as it is.
    """

    markup = param.String(default="", doc="HTML that is shown")
    download = param.Dict(default={}, doc="a file to save: its name, and its bytes in base64 as data")

    _esm = _SHOW

    def __init__(self, handler: Handler | None = None, css: str = "", **params: Any):
        params.setdefault("sizing_mode", "stretch_width")
        super().__init__(stylesheets=[BODY_CSS + _BOX_CSS + css], **params)
        self._handler = handler

    def _handle_msg(self, data: dict[str, Any]) -> None:
        if self._handler is not None:
            self._handler(data)
