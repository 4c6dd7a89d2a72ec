"""The design tokens: both themes complete, text readable, selection told from focus without hue."""

from __future__ import annotations

import gc
import itertools

import param
import pytest

from explorer.views import _theme as theme


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2, https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_both_themes_name_the_same_tokens() -> None:
    assert set(theme.TOKENS["dark"]) == set(theme.TOKENS["light"])


@pytest.mark.parametrize("mode", theme.MODES)
@pytest.mark.parametrize("ground", ["page", "panel", "raised", "sunken"])
def test_text_is_readable_on_every_ground(mode: str, ground: str) -> None:
    for name, least in [
        ("text", 10),
        ("muted", 4.5),
        ("faint", 4),
        ("select", 4),
        ("focus", 4),
        ("bad", 4.5),
    ]:
        assert contrast(theme.token(mode, name), theme.token(mode, ground)) >= least, (name, ground)


@pytest.mark.parametrize("mode", theme.MODES)
def test_categories_stand_out_from_the_canvas_and_differ(mode: str) -> None:
    canvas = theme.token(mode, "sunken")
    assert all(contrast(colour, canvas) >= 3 for colour in theme.CATEGORIES[mode])
    assert len(set(theme.CATEGORIES[mode])) == len(theme.CATEGORIES[mode]) == 8


@pytest.mark.parametrize("mode", theme.MODES)
def test_density_runs_one_way(mode: str) -> None:
    steps = [contrast(colour, theme.token(mode, "sunken")) for colour in theme.DENSITY[mode]]
    assert all(a < b for a, b in itertools.pairwise(steps))


def test_text_of_a_catalogue_is_inert() -> None:
    nasty = '<script>alert("x")</script>'
    for markup in (theme.empty(nasty, nasty), theme.failure(ValueError(nasty)), theme.escape(nasty)):
        assert "<script" not in markup
        assert '"x"' not in markup


def test_a_session_has_one_screen_and_frees_it() -> None:
    class Someone(param.Parameterized):
        pass

    session = Someone()
    assert theme.screen_of(session) is theme.screen_of(session)
    assert theme.screen_of(session) is not theme.screen_of(Someone())
    before = len(theme._SCREENS)
    del session
    gc.collect()
    assert len(theme._SCREENS) < before
