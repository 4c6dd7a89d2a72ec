"""Design tokens: every colour, size and font that the views share, dark and light.

A view never writes a colour of its own. In HTML and CSS it uses the variables (``var(--ax-text)``), which
cross shadow roots by inheritance from the page's root, so that a change of theme costs one class name. On a
Bokeh canvas, where CSS does not reach, it calls :func:`style_figure` and calls it again when :class:`Screen`
says that the theme changed::

    screen = screen_of(session)
    style_figure(figure, screen.theme)
    screen.param.watch(lambda event: style_figure(figure, event.new), "theme")

Orange always means *selected* and blue always means *in focus*. Categories take the colours of Okabe and Ito,
continuous values cividis or viridis: all three keep their order for a colour-blind eye.
"""

from __future__ import annotations

import html
import weakref
from typing import Any, Literal

import param

Mode = Literal["dark", "light"]
MODES: tuple[Mode, ...] = ("dark", "light")

TOKENS: dict[str, dict[str, str]] = {
    "dark": {
        "page": "#0d1015",  # behind everything
        "panel": "#13171e",  # a view
        "raised": "#1b2029",  # a control, a hovered row, a pop-up
        "sunken": "#0a0d11",  # the canvas of a plot, an image's surround
        "line": "#272e39",  # hairlines
        "strong-line": "#3a4351",  # the edge of a control
        "text": "#e7eaef",
        "muted": "#a3adba",  # labels, units
        "faint": "#7c8796",  # placeholders, ticks
        "select": "#ff9f40",  # what is selected
        "select-soft": "#ff9f4026",
        "on-select": "#1a0f00",
        "focus": "#5cc3ff",  # what is in focus
        "focus-soft": "#5cc3ff24",
        "good": "#3fc99b",
        "bad": "#ff8277",
        "dimmed": "#4a5361",  # points outside the selection
        "data": "#8fc1f2",  # one series of a plot
        "data-soft": "#8fc1f240",
        "model": "#ffc978",  # a second series over it
        "shadow": "0 8px 28px rgba(0,0,0,.55)",
    },
    "light": {
        "page": "#eef0f3",
        "panel": "#ffffff",
        "raised": "#f3f5f8",
        "sunken": "#fafbfc",
        "line": "#dfe3e8",
        "strong-line": "#c1c8d1",
        "text": "#161b22",
        "muted": "#4f5a68",
        "faint": "#697483",
        "select": "#c84e00",
        "select-soft": "#c84e001c",
        "on-select": "#ffffff",
        "focus": "#0069ad",
        "focus-soft": "#0069ad1a",
        "good": "#0b7a58",
        "bad": "#b3261e",
        "dimmed": "#b9c1cb",
        "data": "#2a67a5",
        "data-soft": "#2a67a533",
        "model": "#a85a00",
        "shadow": "0 8px 28px rgba(20,30,45,.18)",
    },
}

# Okabe & Ito (2008), https://jfly.uni-koeln.de/color/ ; black and the pale yellow are moved so that each
# colour keeps a contrast of 3 on its canvas.
CATEGORIES: dict[str, tuple[str, ...]] = {
    "dark": ("#56b4e9", "#e69f00", "#2bc498", "#f0e442", "#4074e6", "#f07a3c", "#e08fbd", "#c9d1db"),
    "light": ("#0072b2", "#b87700", "#008a66", "#8c8200", "#2f8fca", "#d55e00", "#b8568f", "#3c4652"),
}
OTHER: dict[str, str] = {
    "dark": "#6b7686",
    "light": "#98a2ae",
}  # the categories beyond the palette, and missing ones

# Counts of points: one hue, from just visible on the canvas to its opposite.
DENSITY: dict[str, tuple[str, ...]] = {
    "dark": ("#27405f", "#3a658f", "#5a90c0", "#8fc1e8", "#cfe7fa", "#ffffff"),
    "light": ("#bccbdd", "#8fabca", "#5f86b1", "#38628f", "#1c406b", "#0a2344"),
}
SEQUENTIAL: tuple[str, ...] = ("viridis", "cividis")  # the maps a person may choose for continuous values

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", Arial, sans-serif'
MONO = 'ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace'


def token(mode: str, name: str) -> str:
    """The value of a token, for a Bokeh property: ``token("dark", "select")``."""
    return TOKENS[mode][name]


def variables(mode: str) -> str:
    """The tokens of a theme as CSS declarations, ``--ax-text: #e7eaef; …``."""
    return " ".join(f"--ax-{name}: {value};" for name, value in TOKENS[mode].items())


ROOT_CSS = "\n".join(f":host(.ax-{mode}), .ax-{mode} {{ {variables(mode)} color-scheme: {mode}; }}" for mode in MODES)
ROOT_CSS += f"""
:host(.ax-root), .ax-root {{
  --ax-font: {FONT};
  --ax-mono: {MONO};
  --design-primary-color: var(--ax-focus); --panel-primary-color: var(--ax-focus);
  --design-background-color: var(--ax-panel); --design-background-text-color: var(--ax-text);
  --panel-background-color: var(--ax-panel); --panel-on-background-color: var(--ax-text);
  --panel-surface-color: var(--ax-raised); --panel-on-surface-color: var(--ax-text);
  --background-color: var(--ax-panel); --text-color: var(--ax-text); --surface-color: var(--ax-raised);
  --border-color: var(--ax-line);
  --bokeh-base-font: var(--ax-font); --bokeh-font-size: 12.5px;
  --font-size: 12.5px; --base-font: var(--ax-font);
  --tooltip-color: var(--ax-panel); --tooltip-border: var(--ax-strong-line); --tooltip-text: var(--ax-text);
  color: var(--ax-text);
  font: 12.5px/1.4 var(--ax-font);
  font-variant-numeric: tabular-nums;
}}
"""
"""For the one outermost element; give it the classes ``ax-root`` and ``ax-dark`` or ``ax-light``."""

CONTROLS_CSS = """
:host { font: 12.5px/1.35 var(--ax-font); color: var(--ax-text); font-variant-numeric: tabular-nums; }
label, .bk-input-group > label { color: var(--ax-muted); font-size: 11px; letter-spacing: .02em;
  margin: 0 0 2px; }
.bk-input, input.bk-input, select.bk-input, textarea.bk-input {
  background-color: var(--ax-raised); color: var(--ax-text); border: 1px solid var(--ax-line);
  border-radius: 6px; font: 12.5px/1.35 var(--ax-font); min-height: 0; height: 28px;
  padding: 0 8px; box-shadow: none;
}
select.bk-input { padding-right: 22px; cursor: pointer; }
select.bk-input option { background: var(--ax-panel); color: var(--ax-text); }
.bk-input:hover { border-color: var(--ax-strong-line); }
.bk-input:focus { border-color: var(--ax-focus); outline: 2px solid var(--ax-focus-soft); box-shadow: none; }
.bk-input::placeholder { color: var(--ax-faint); }
:host .bk-btn.bk-btn-default, :host(.solid) .bk-btn.bk-btn-default, :host .bk-btn-group .bk-btn.bk-btn-default {
  background: var(--ax-raised); color: var(--ax-text); border: 1px solid var(--ax-line); border-radius: 6px;
  font: 12.5px/1 var(--ax-font); height: 28px; min-height: 0; padding: 0 10px; box-shadow: none;
}
:host .bk-btn.bk-btn-default:hover, :host(.solid) .bk-btn.bk-btn-default:hover {
  border-color: var(--ax-strong-line); background: var(--ax-raised); color: var(--ax-text);
}
.bk-btn:focus-visible { outline: 2px solid var(--ax-focus); outline-offset: 1px; }
.bk-btn[disabled] { opacity: .45; }
:host .bk-btn.bk-btn-default.bk-active, :host(.solid) .bk-btn.bk-btn-default.bk-active,
:host(.solid) .bk-btn-group .bk-btn.bk-btn-default.bk-active {
  background: var(--ax-focus-soft); color: var(--ax-text); border-color: var(--ax-focus);
}
.bk-slider-title { color: var(--ax-muted); font-size: 11px; }
.noUi-target { background: var(--ax-line); border: none; box-shadow: none; height: 4px; border-radius: 2px; }
.noUi-connect, .noUi-connects .noUi-connect { background: var(--ax-focus) !important; }
.noUi-handle { background: var(--ax-text) !important; border: none !important; box-shadow: none !important; }
input[type=checkbox] { accent-color: var(--ax-focus); }
"""
"""For every Panel widget: ``pn.widgets.Select(..., stylesheets=[CONTROLS_CSS])``."""

BODY_CSS = """
:host { font: 12.5px/1.45 var(--ax-font); color: var(--ax-text); font-variant-numeric: tabular-nums; }
a { color: var(--ax-focus); text-decoration: none; } a:hover { text-decoration: underline; }
code, .ax-mono { font-family: var(--ax-mono); font-size: 11.5px; }
.ax-muted { color: var(--ax-muted); } .ax-faint { color: var(--ax-faint); }
.ax-num { text-align: right; font-variant-numeric: tabular-nums; }
.ax-title { font-size: 11px; font-weight: 600; letter-spacing: .06em; text-transform: uppercase;
  color: var(--ax-muted); }
.ax-empty { height: 100%; min-height: 120px; display: flex; flex-direction: column; align-items: center;
  justify-content: center; text-align: center; gap: 4px; padding: 16px; box-sizing: border-box;
  color: var(--ax-muted); }
.ax-empty b { color: var(--ax-text); font-weight: 600; font-size: 13.5px; }
.ax-error { margin: 8px; padding: 8px 12px; border-left: 3px solid var(--ax-bad);
  background: var(--ax-raised); border-radius: 4px; color: var(--ax-text); overflow-wrap: anywhere; }
.ax-error b { color: var(--ax-bad); }
.ax-chip { display: inline-block; padding: 0 7px; border-radius: 9px; border: 1px solid var(--ax-line);
  background: var(--ax-raised); color: var(--ax-muted); font-size: 11px; line-height: 17px; }
.ax-skeleton { border-radius: 6px; background: linear-gradient(100deg, var(--ax-raised) 40%,
  var(--ax-line) 50%, var(--ax-raised) 60%) 0 0 / 300% 100%; animation: ax-wait 1.6s linear infinite; }
@keyframes ax-wait { from { background-position: 120% 0; } to { background-position: -20% 0; } }
@media (prefers-reduced-motion: reduce) { .ax-skeleton { animation: none; } }
"""
"""For every ``pn.pane.HTML``: text, empty states, errors, chips, skeletons."""


def escape(value: object) -> str:
    """Text of a catalogue made safe inside HTML, in an element or in a quoted attribute."""
    return html.escape(str(value), quote=True)


def empty(title: str, hint: str) -> str:
    """HTML of an empty state: what is missing, and what to do about it. Both are escaped."""
    return f'<div class="ax-empty" role="status"><b>{escape(title)}</b><span>{escape(hint)}</span></div>'


def skeleton(height: int | str = "100%") -> str:
    """HTML that holds a view's place until its content is there."""
    size = f"{height}px" if isinstance(height, int) else height
    return f'<div class="ax-skeleton" style="height:{escape(size)};min-height:60px" aria-busy="true"></div>'


def failure(error: BaseException, doing: str = "") -> str:
    """HTML that brings an error to the page in the error's own words."""
    head = escape(doing or type(error).__name__)
    return f'<div class="ax-error" role="alert"><b>{head}</b><br>{escape(error)}</div>'


class Screen(param.Parameterized):
    """How one session's page looks; nothing that an exploration depends on."""

    theme = param.Selector(default="dark", objects=list(MODES), doc="dark or light")
    continuous = param.Selector(default="viridis", objects=list(SEQUENTIAL), doc="map of continuous values")
    thumbnails = param.Selector(default="auto", objects=["auto", "on", "off"], doc="thumbnails on the map")
    shown = param.Integer(default=-1, doc="rows inside the map's window, -1 before it is drawn")
    again = param.Integer(default=0, doc="how often a re-ranking by the marks was asked for")
    tabs = param.Dict(default={}, doc="page → the tab that is looked at on it")
    wanted = param.String(default="", doc="the tab that a view asks its pages to open")
    help = param.Boolean(default=False, doc="whether the list of keys is shown")
    notice = param.ClassSelector(default=None, class_=(str, Exception), doc="what the page has to tell, once")

    def seen(self, name: str) -> bool:
        """Whether a view's tab is looked at on one of the session's pages; True where there is no page."""
        return not self.tabs or name in self.tabs.values()


_SCREENS: weakref.WeakKeyDictionary[Any, Screen] = weakref.WeakKeyDictionary()


def screen_of(session: Any) -> Screen:
    """The one :class:`Screen` that all views of a session share; it is forgotten with the session."""
    if session not in _SCREENS:
        _SCREENS[session] = Screen()
    return _SCREENS[session]


def style_figure(figure: Any, mode: str) -> None:
    """Paint a Bokeh figure in a theme; call it again when the theme changes.

    Sets backgrounds, outline, grid, axes, title and legend. Glyphs keep their colours: set those from
    :func:`token`.
    """
    figure.background_fill_color = token(mode, "sunken")
    figure.border_fill_color = token(mode, "panel")
    figure.outline_line_color = token(mode, "line")
    figure.toolbar.logo = None
    for grid in figure.grid:
        grid.grid_line_color = token(mode, "line")
        grid.grid_line_alpha = 0.6
    for axis in figure.axis:
        axis.axis_line_color = token(mode, "strong-line")
        axis.major_tick_line_color = token(mode, "strong-line")
        axis.minor_tick_line_color = None
        axis.major_label_text_color = token(mode, "muted")
        axis.axis_label_text_color = token(mode, "muted")
        axis.major_label_text_font = axis.axis_label_text_font = "system-ui, sans-serif"
        axis.major_label_text_font_size = "11px"
        axis.axis_label_text_font_size = "12px"
        axis.axis_label_text_font_style = "normal"
    if figure.title is not None:
        figure.title.text_color = token(mode, "text")
        figure.title.text_font = "system-ui, sans-serif"
        figure.title.text_font_size = "12.5px"
        figure.title.text_font_style = "normal"
    for legend in figure.legend:
        legend.background_fill_color = token(mode, "panel")
        legend.background_fill_alpha = 0.85
        legend.border_line_color = None
        legend.label_text_color = token(mode, "muted")
        legend.label_text_font_size = "11px"
