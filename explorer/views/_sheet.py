"""The sheet of tiles that a browser draws: one canvas of pictures, and over it what can be clicked.

Pictures and texts come in one message; the old page stands until the new one is decoded. Texts are set as text, so
nothing in a catalogue becomes markup. Keys on the sheet: arrows move the focus, Space selects, Page Up and Page
Down turn pages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import panel as pn
import param

_ESM = """
const GAP = 3
export function render({ model, el }) {
  el.style.cssText = "height:100%;width:100%;min-height:0"
  const root = document.createElement("div"); root.className = "ax-sheet"
  root.innerHTML = '<div class="room" tabindex="0" role="listbox" aria-label="mosaic" aria-multiselectable="true">' +
    '<canvas></canvas><div class="tiles"></div></div><div class="foot"><span class="told" role="status"></span>' +
    '<button data-to="first" title="First page">«</button><button data-to="before" title="Page before (Page Up)">‹' +
    '</button><button data-to="next" title="Next page (Page Down)">›</button>' +
    '<button data-to="last" title="Last page">»</button></div>'
  el.appendChild(root)
  const room = root.querySelector(".room"), canvas = root.querySelector("canvas")
  const layer = root.querySelector(".tiles"), told = root.querySelector(".told")
  let page = null, sources = [], sheet = null, columns = 1, side = 64, serial = 0, asked = "", here = -1
  const tell = (what, extra = {}) => model.send_msg({ do: what, ...extra })

  const measure = () => {
    const width = room.clientWidth, height = room.clientHeight, want = model.tile
    if (width < 8 || height < 8) return false
    const ideal = Math.max(1, Math.round((width + GAP) / (want + GAP)))
    let best = -9, rows = 1
    for (let c = Math.max(1, ideal - 3); c <= ideal + 3; c++) {  // near the size asked for, fill the room
      const s = Math.floor((width - GAP * (c - 1)) / c)
      const r = Math.max(1, Math.floor((height + GAP) / (s + GAP)))
      const worth = Math.min(1, (r * (s + GAP) - GAP) / height) - 0.8 * Math.abs(Math.log(s / want))
      if (s > 8 && worth > best) { best = worth; columns = c; side = s; rows = r }
    }
    const now = columns + "x" + rows + "x" + side
    if (now !== asked) { asked = now; tell("room", { columns, rows, pixels: Math.ceil(side * devicePixelRatio) }) }
    return true
  }
  const draw = () => {
    if (!measure() || !page) return
    const n = page.tiles.length, rows = Math.ceil(n / columns), scale = window.devicePixelRatio || 1
    const width = columns * (side + GAP) - GAP, height = Math.max(1, rows * (side + GAP) - GAP)
    canvas.width = Math.round(width * scale); canvas.height = Math.round(height * scale)
    canvas.style.width = width + "px"; canvas.style.height = height + "px"
    const pen = canvas.getContext("2d")
    for (let i = 0; i < n; i++) {
      const left = Math.round((i % columns) * (side + GAP) * scale)
      const top = Math.round(Math.floor(i / columns) * (side + GAP) * scale)
      const size = Math.round(side * scale)
      let image = sources[i], sx = 0, sy = 0, sw = 0, sh = 0
      if (sheet && !page.absent.includes(i)) {
        image = sheet; sw = sh = page.cell
        sx = (i % page.columns) * sw; sy = Math.floor(i / page.columns) * sh
      } else if (image) { sw = image.width; sh = image.height }
      if (!image || !sw) continue
      const fit = size / Math.max(sw, sh), w = Math.round(sw * fit), h = Math.round(sh * fit)
      pen.imageSmoothingEnabled = fit < 2
      pen.imageSmoothingQuality = "high"
      pen.drawImage(image, sx, sy, sw, sh, left + ((size - w) >> 1), top + ((size - h) >> 1), w, h)
    }
    for (const name of layer.querySelectorAll(".badge i")) {  // the end of an id is where ids differ
      const id = name.dataset.id, room = side - 17 - 6.8 * name.previousSibling.textContent.length
      const fits = Math.floor((room - 11) / 6.6)
      name.textContent = id.length * 6.6 <= room ? id : fits > 2 ? "…" + id.slice(-fits) : ""
    }
    layer.style.gridTemplateColumns = `repeat(${columns}, ${side}px)`
    layer.style.gridAutoRows = side + "px"
    layer.style.gap = GAP + "px"
    layer.classList.toggle("small", side < 64)
    layer.classList.toggle("tiny", side < 34)
  }
  const build = () => {
    layer.replaceChildren(...page.tiles.map((tile, i) => {
      const box = document.createElement("div")
      box.className = "tile"; box.dataset.at = i; box.setAttribute("role", "option")
      const rank = tile.rank === null ? "" : "#" + tile.rank
      box.title = [tile.id, rank && "rank " + tile.rank, tile.pct !== null && "percentile " + tile.pct,
        tile.score && page.scorer + " " + tile.score,
        tile.mark && "marked " + tile.mark].filter(Boolean).join("\\n")
      box.setAttribute("aria-label", box.title)
      const badge = document.createElement("span"); badge.className = "badge"
      const place = document.createElement("b"); place.textContent = tile.rank === null ? "" : tile.rank
      const name = document.createElement("i"); name.dataset.id = tile.id
      badge.append(place, name); box.append(badge)
      if (tile.score) {
        const score = document.createElement("span"); score.className = "score"; score.textContent = tile.score
        box.append(score)
      }
      if (tile.mark) {
        const dot = document.createElement("span"); dot.className = "mark"; dot.style.background = tile.colour
        box.append(dot)
      }
      if (!sheet && !sources[i] || page.absent.includes(i)) {
        const none = document.createElement("span"); none.className = "none"; none.textContent = "no image"
        box.append(none)
      }
      return box
    }))
    told.textContent = page.told
    for (const b of root.querySelectorAll(".foot button"))
      b.disabled = (b.dataset.to === "first" || b.dataset.to === "before") ? page.first : page.last
  }
  const states = () => {
    const { focus, selected, off } = model.state, on = new Set(selected), out = new Set(off)
    here = focus
    for (const box of layer.children) {
      const i = +box.dataset.at
      box.classList.toggle("focus", i === focus); box.classList.toggle("on", on.has(i))
      box.setAttribute("aria-selected", on.has(i))
    }
  }
  const decode = async (bytes) => {
    try { return await createImageBitmap(new Blob([bytes], { type: "image/jpeg" })) } catch { return null }
  }
  const load = async () => {
    const next = model.page
    if (!next || !next.tiles) return
    const mine = ++serial
    const data = new Uint8Array(next.data)
    let newSheet = null, found = []
    if (next.kind === "sprite") newSheet = data.length ? await decode(data) : null
    else found = await Promise.all(next.tiles.map((_, i) =>
      next.at[i + 1] > next.at[i] ? decode(data.subarray(next.at[i], next.at[i + 1])) : null))
    if (mine !== serial) return
    for (const old of [...sources, sheet]) old?.close?.()
    page = next; sources = found; sheet = newSheet
    build(); draw(); states()
    root.dataset.shown = next.serial
  }
  const look = (at) => {  // outlined at once; Python confirms
    here = at
    for (const box of layer.children) box.classList.toggle("focus", +box.dataset.at === at)
    tell("focus", { at })
  }
  const move = (by) => {
    const n = page.tiles.length, to = here < 0 ? 0 : here + by
    if (to >= n && !page.last) tell("page", { to: "next", focus: "first" })
    else if (to < 0 && !page.first) tell("page", { to: "before", focus: "last" })
    else look(Math.max(0, Math.min(n - 1, to)))
  }
  layer.addEventListener("click", (ev) => {
    const box = ev.target.closest(".tile")
    if (!box) return
    room.focus({ preventScroll: true })
    if (ev.shiftKey || ev.ctrlKey || ev.metaKey) tell("toggle", { at: +box.dataset.at })
    else look(+box.dataset.at)
  })
  layer.addEventListener("mousedown", (ev) => { if (ev.shiftKey) ev.preventDefault() })
  root.querySelector(".foot").addEventListener("click", (ev) => {
    if (ev.target.dataset.to) tell("page", { to: ev.target.dataset.to })
  })
  room.addEventListener("keydown", (ev) => {
    if (!page || ev.ctrlKey || ev.metaKey || ev.altKey) return
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }
    if (ev.key in steps) move(steps[ev.key])
    else if (ev.key === "PageDown") tell("page", { to: "next" })
    else if (ev.key === "PageUp") tell("page", { to: "before" })
    else if (ev.key === "Home") tell("page", { to: "first", focus: "first" })
    else if (ev.key === "End") tell("page", { to: "last", focus: "last" })
    else if (ev.key === " " && here >= 0) tell("toggle", { at: here })
    else return
    ev.preventDefault(); ev.stopPropagation()
  })
  new ResizeObserver(() => draw()).observe(room)
  model.on("page", load); model.on("state", states); model.on("tile", draw)
  load(); measure()
}
"""

_CSS = """
.ax-sheet { height: 100%; display: flex; flex-direction: column; min-height: 0; }
.room { position: relative; flex: 1; min-height: 0; overflow: auto; outline: none; scrollbar-width: thin; }
.room canvas { display: block; border-radius: 3px; }
.tiles { position: absolute; inset: 0 auto auto 0; display: grid; }
.tile { position: relative; cursor: pointer; border-radius: 3px; overflow: hidden;
  box-shadow: inset 0 0 0 1px #ffffff14; }
.tile::after { content: ""; position: absolute; inset: 0; border-radius: 3px; pointer-events: none; }
.tile.off { background: color-mix(in srgb, var(--ax-panel) 72%, transparent); }
.tile:hover::after { box-shadow: inset 0 0 0 1.5px #ffffffa0; }
.tile.on::after { box-shadow: inset 0 0 0 2px var(--ax-select); }
.tile.focus::after { box-shadow: inset 0 0 0 2.5px var(--ax-focus), inset 0 0 0 4px #0009; }
.tile.focus.on::after { box-shadow: inset 0 0 0 2px var(--ax-select), inset 0 0 0 4.5px var(--ax-focus); }
.room:focus-visible .tile.focus::after { box-shadow: inset 0 0 0 3.5px var(--ax-focus), inset 0 0 0 5px #000b; }
.badge { position: absolute; left: 0; right: 0; bottom: 0; padding: 8px 5px 2px; display: flex; gap: 5px;
  color: #fff; font: 10.5px/1.25 var(--ax-font); text-shadow: 0 0 2px #000, 0 1px 2px #000; pointer-events: none;
  background: linear-gradient(#0000, #000000a8); white-space: nowrap; font-variant-numeric: tabular-nums; }
.badge b { font-weight: 650; } .badge i { font-style: normal; opacity: .82; overflow: hidden; text-overflow: ellipsis; }
.tiles.small .badge { font-size: 9px; padding: 4px 3px 1px; } .tiles.small .badge i { display: none; }
.tiles.tiny .badge, .tiles.tiny .score { display: none; }
.score { position: absolute; left: 0; top: 0; padding: 2px 5px 3px; border-radius: 3px 0 5px 0; background: #00000080;
  color: #fff; font: 10px/1.2 var(--ax-font); font-variant-numeric: tabular-nums; pointer-events: none; }
.tiles.small .score { font-size: 8.5px; padding: 1px 3px; }
.mark { position: absolute; right: 4px; top: 4px; width: 9px; height: 9px; border-radius: 50%;
  border: 1.5px solid #000a; box-shadow: 0 0 0 1px #fffa; }
.tiles.tiny .mark { width: 5px; height: 5px; right: 2px; top: 2px; }
.none { position: absolute; inset: 0; display: flex; align-items: center; justify-content: center; font-size: 10.5px;
  color: var(--ax-faint); background: var(--ax-sunken); border-radius: 4px; z-index: -1; }
.tiles.small .none { font-size: 0; }
.foot { display: flex; align-items: center; gap: 4px; padding: 5px 2px 0; color: var(--ax-muted);
  font: 11.5px/1.4 var(--ax-font); font-variant-numeric: tabular-nums; }
.foot .told { flex: 1; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.foot button { all: unset; cursor: pointer; padding: 2px 8px; border-radius: 5px; color: var(--ax-text); }
.foot button:hover { background: var(--ax-raised); }
.foot button:focus-visible { outline: 2px solid var(--ax-focus); }
.foot button[disabled] { color: var(--ax-faint); opacity: .5; pointer-events: none; }
"""


class Sheet(pn.custom.JSComponent):
    """Shows a page of tiles and reports what is done to it as ``{"do": …}``.

    ``page`` holds everything that is drawn: ``kind``, ``data`` (bytes), ``at``, ``cell``, ``columns``, ``absent`` as in
    :class:`explorer.views._thumbs.Pictures`; ``tiles``, a list of id, rank, pct, score, mark and colour; ``scorer``,
    ``told``, ``first``, ``last`` and ``serial``. ``state`` holds positions on the page: ``focus`` (-1 for none),
    ``selected``, and ``off`` for those that left the selection that is shown.
    """

    page = param.Dict(default={})
    state = param.Dict(default={"focus": -1, "selected": [], "off": []})
    tile = param.Integer(default=72, bounds=(16, 400), doc="side of a tile in CSS pixels, about")

    _esm = _ESM

    def __init__(self, told: Callable[[dict[str, Any]], None], **params: Any):
        super().__init__(stylesheets=[_CSS], **params)
        self._told = told

    def _handle_msg(self, msg: dict[str, Any]) -> None:
        self._told(msg)
