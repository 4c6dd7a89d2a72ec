"""A file from a person's disk: chosen, or dropped anywhere on the page. What is too large never leaves the browser."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

import panel as pn
import param

from explorer.views._theme import BODY_CSS

Given = Callable[[str, bytes | None, int], None]
"""``given(name, data, size)``; ``data`` is None where the file was too large to be sent."""

_SHOW = """
export function render({ model, el }) {
  const box = document.createElement("label"), input = document.createElement("input")
  const words = document.createElement("span")
  box.className = "ax-drop"
  words.textContent = model.words
  input.type = "file"
  input.accept = model.accept
  box.append(words, input)
  const take = (file) => {
    if (!file) return
    words.textContent = file.name
    if (file.size > model.most) { model.send_msg({ name: file.name, size: file.size }); return }
    const reader = new FileReader()
    reader.onload = () => model.send_msg({ name: file.name, size: file.size, data: reader.result.split(",")[1] ?? "" })
    reader.onerror = () => model.send_msg({ name: file.name, size: file.size, wrong: String(reader.error) })
    reader.readAsDataURL(file)
  }
  input.addEventListener("change", () => { take(input.files[0]); input.value = "" })
  // a file may be dropped anywhere on this page of the explorer, and nowhere beside it: a notebook takes files too
  let page = null, depth = 0, left = 100
  const shown = (on) => {
    box.classList.toggle("over", on)
    page.style.outline = on ? "2px dashed var(--ax-focus)" : ""
    page.style.outlineOffset = "-5px"
  }
  const files = (ev) => [...(ev.dataTransfer?.types ?? [])].includes("Files")
  const heard = {
    dragover: (ev) => { if (files(ev)) { ev.preventDefault(); ev.dataTransfer.dropEffect = "copy" } },
    dragenter: (ev) => { if (files(ev)) { depth += 1; shown(true) } },
    dragleave: (ev) => { if (files(ev) && --depth <= 0) { depth = 0; shown(false) } },
    drop: (ev) => {
      if (!files(ev)) return
      ev.preventDefault()
      depth = 0
      shown(false)
      take(ev.dataTransfer.files[0])
    },
  }
  const listen = () => {  // once the view stands on its page
    let at = el
    while (at && !(at.classList && at.classList.contains("ax-root"))) {
      at = at.parentNode instanceof ShadowRoot ? at.parentNode.host : at.parentNode
    }
    if (!at && (left -= 1) > 0) { setTimeout(listen, 100); return }
    page = at ?? box
    for (const [name, act] of Object.entries(heard)) page.addEventListener(name, act)
  }
  el.appendChild(box)
  listen()
  model.on("remove", () => {
    left = 0
    for (const [name, act] of Object.entries(heard)) page?.removeEventListener(name, act)
  })
}
"""

_CSS = """
:host { width: 100%; min-width: 0; }
.ax-drop { display: flex; align-items: center; height: 24px; box-sizing: border-box; padding: 0 11px; cursor: pointer;
  border: 1px dashed var(--ax-strong-line); border-radius: 12px; color: var(--ax-muted); font-size: 11.5px;
  min-width: 0; position: relative; overflow: hidden; }
.ax-drop.over { background: var(--ax-focus-soft); border-color: var(--ax-focus); }
.ax-drop:hover { color: var(--ax-text); border-color: var(--ax-focus); }
.ax-drop:focus-within { outline: 2px solid var(--ax-focus); }
.ax-drop span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.ax-drop input { position: absolute; inset: 0; opacity: 0; cursor: pointer; font-size: 0; }
"""


class FileDrop(pn.custom.JSComponent):
    """A field for one file; what is dropped anywhere on its page of the explorer counts too."""

    accept = param.String(default="", doc="endings that the browser offers, as in <input accept>")
    most = param.Integer(default=14 << 20, doc="bytes of a file at most; a larger one is told of and not sent")
    words = param.String(default="choose a file, or drop one anywhere", doc="what the empty field says")

    _esm = _SHOW

    def __init__(self, given: Given | None = None, **params: Any):
        params.setdefault("sizing_mode", "stretch_width")
        super().__init__(stylesheets=[BODY_CSS + _CSS], **params)
        self._given = given

    def _handle_msg(self, data: dict[str, Any]) -> None:
        if self._given is None:
            return
        name, content = str(data.get("name", ""))[:200], data.get("data")
        size = data.get("size")
        size = int(size) if isinstance(size, int | float) else 0
        if not isinstance(content, str):
            self._given(name, None, size)
            return
        try:
            self._given(name, base64.b64decode(content, validate=True), size)
        except binascii.Error:
            self._given(name, b"", size)
