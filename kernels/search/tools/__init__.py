"""Tools that score candidates by what they measure on them: one file, one tool (``kernels.search.TOOLS``)."""
