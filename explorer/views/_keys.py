"""Keys: which ones there are, what they do, and the listener that hears them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import panel as pn
import param

from explorer.views._theme import escape

HELP = {
    "Esc": "clear the selection",
    "Ctrl Z": "undo",
    "Ctrl Shift Z": "redo",
    "j · →": "next, along the ranking",
    "k · ←": "the one before",
    "0 … 5": "score the object in focus",
    "u": "next that has no mark",
    "r": "re-rank by your marks",
    "c": "explore or compare",
    "t": "dark or light",
    "/": "write a query",
    "?": "this list",
    "Shift + lasso": "add to the selection",
    "Ctrl + lasso": "intersect with it",
    "Ctrl Shift + lasso": "subtract from it",
    "click on the map": "look at the nearest object",
    "wheel": "zoom at the pointer",
    "drop a file": "what is like the object in it",
}

_LISTEN = """
export function render({ model, el }) {
  el.style.display = "none"
  const KEYS = ["Escape", "j", "k", "ArrowLeft", "ArrowRight", "?", "u", "r", "c", "t", "/",
    "0", "1", "2", "3", "4", "5"]
  let page = el, over = false
  while (page && !(page.classList && page.classList.contains("ax-root"))) {
    page = page.parentNode instanceof ShadowRoot ? page.parentNode.host : page.parentNode
  }
  const enter = () => { over = true }
  const leave = () => { over = false }
  page?.addEventListener("mouseenter", enter)
  page?.addEventListener("mouseleave", leave)
  const hear = (ev) => {
    const path = ev.composedPath(), at = path[0]
    if (!(model.alone || over || path.includes(page))) return
    const writing = at.closest?.("input:not([type=range]):not([type=checkbox]), select, textarea, [contenteditable]")
    if (writing) {
      if (ev.key === "Escape") at.blur()
      return
    }
    const held = ev.ctrlKey || ev.metaKey
    const undo = held && ev.key.toLowerCase() === "z"
    if (!undo && (held || ev.altKey || !KEYS.includes(ev.key))) return
    if (ev.key.startsWith("Arrow") && at.matches?.("[role=slider], [role=listbox], input")) return
    ev.preventDefault()
    ev.stopPropagation()
    if (ev.key === "/") {
      const find = (root) => {
        for (const node of root.querySelectorAll("*")) {
          if (node.matches('input[data-do="query"]')) return node
          const inner = node.shadowRoot && find(node.shadowRoot)
          if (inner) return inner
        }
      }
      find(page.shadowRoot ?? page)?.focus()
      return
    }
    model.send_msg({ key: undo ? (ev.shiftKey ? "redo" : "undo") : ev.key })
  }
  document.addEventListener("keydown", hear, true)
  model.on("remove", () => document.removeEventListener("keydown", hear, true))
}
"""


class Keys(pn.custom.JSComponent):
    """Reports the keys of :data:`HELP` that are pressed on the page, never while somebody writes.

    ``alone``: the page is the whole window. In a notebook only keys pressed over the page are heard, so that the
    notebook keeps its own.
    """

    alone = param.Boolean(default=False)

    _esm = _LISTEN

    def __init__(self, handler: Callable[[str], None], **params: Any):
        super().__init__(width=0, height=0, margin=0, **params)
        self._handler = handler

    def _handle_msg(self, data: dict[str, Any]) -> None:
        self._handler(str(data["key"]))


def help_card() -> str:
    """HTML of the list of keys."""
    lines = "".join(f"<dt>{escape(key)}</dt><dd>{escape(told)}</dd>" for key, told in HELP.items())
    inner = f"<div><h2>Keys</h2><dl>{lines}</dl></div>"
    return f'<div class="keys" data-do="help" role="dialog" aria-label="Keys">{inner}</div>'


HELP_CSS = """
:host { position: fixed !important; inset: 0; z-index: 40; width: auto !important; height: auto !important; }
.keys { position: absolute; inset: 0; display: flex; align-items: center; justify-content: center; cursor: default;
  background: rgba(0, 0, 0, .45); }
.keys > div { background: var(--ax-panel); border: 1px solid var(--ax-strong-line); border-radius: 12px;
  box-shadow: var(--ax-shadow); padding: 18px 26px 22px; }
.keys h2 { margin: 0 0 12px; font-size: 15px; font-weight: 600; }
.keys dl { display: grid; grid-template-columns: auto 1fr; gap: 6px 18px; margin: 0; }
.keys dt { font-family: var(--ax-mono); font-size: 11.5px; color: var(--ax-select); text-align: right; }
.keys dd { margin: 0; color: var(--ax-text); }
"""
