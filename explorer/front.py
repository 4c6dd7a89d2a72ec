"""The bare address of a server: it leads to the one survey, or lists the surveys that are served."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from explorer.views._theme import BODY_CSS, ROOT_CSS, escape, variables

if TYPE_CHECKING:
    from explorer.survey.store import Survey

_CSS = f"""
:root {{ {variables("dark")} color-scheme: dark; }}
@media (prefers-color-scheme: light) {{ :root {{ {variables("light")} color-scheme: light; }} }}
body {{ margin: 0; min-height: 100vh; display: flex; justify-content: center; background: var(--ax-page); }}
main {{ width: min(620px, calc(100vw - 32px)); padding: 12vh 0 40px; }}
h1 {{ margin: 0 0 18px; font-size: 20px; font-weight: 600; }}
ul {{ list-style: none; margin: 0; padding: 0; border: 1px solid var(--ax-line); border-radius: 10px;
  overflow: hidden; background: var(--ax-panel); }}
li + li {{ border-top: 1px solid var(--ax-line); }}
li a {{ display: block; padding: 13px 18px; color: var(--ax-text); overflow-wrap: anywhere; }}
li a:hover {{ background: var(--ax-raised); text-decoration: none; }}
li a:focus-visible {{ outline: 2px solid var(--ax-focus); outline-offset: -2px; }}
li b {{ display: block; font-size: 14px; font-weight: 600; }}
"""


def markup(names: Sequence[str], surveys: Sequence[Survey], asked: str = "") -> str:
    """HTML of the list: each survey by its address in ``names``; ``asked``, as ``page=compare``, goes with the link.

    It is whole in itself: a browser fetches nothing for it.
    """
    more = f"?{asked}" if asked else ""
    lines = "".join(
        f'<li><a href="./{quote(name)}{escape(more)}"><b>{escape(survey.name)}</b>'
        f'<span class="ax-muted">{len(survey):,} rows · {escape(", ".join(survey.modalities) or "a catalogue")}'
        "</span></a></li>"
        for name, survey in zip(names, surveys, strict=True)
    )
    style = ROOT_CSS + BODY_CSS.replace(":host", "body") + _CSS
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Astro Explorer</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style></head>'
        f'<body class="ax-root"><main><h1>Astro Explorer</h1><ul>{lines}</ul></main></body></html>'
    )


def routes(names: Sequence[str], surveys: Sequence[Survey]) -> list[tuple[Any, ...]]:
    """Tornado's route of the bare address. What is asked with it, such as ``?page=compare``, goes on to the page."""
    from tornado.web import RequestHandler

    class Front(RequestHandler):
        def get(self) -> None:
            asked = self.request.query
            if len(names) == 1:
                self.redirect(f"./{quote(names[0])}" + (f"?{asked}" if asked else ""))
            else:
                self.finish(markup(names, surveys, asked))

    return [(r"/?", Front, {})]
