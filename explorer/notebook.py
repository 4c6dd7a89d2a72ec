"""What a notebook needs before it can show a page: Panel's scripts, written into the notebook itself."""

from __future__ import annotations


def ready() -> None:
    """Load Panel into the notebook once, with every script inline: nothing is fetched from a network.

    Panel loads its scripts from addresses on the network by default, so that offline nothing appears.
    """
    import panel as pn

    if pn.extension._loaded and pn.config.inline:
        return
    pn.extension(inline=True)
