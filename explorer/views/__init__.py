"""Views, one file each: a pure ``render…`` function and a small class that subscribes to the session."""

from kernels.registry import Registry

VIEWS = Registry("view", "explorer.views", "astro_explorer.views")
