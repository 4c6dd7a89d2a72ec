"""One exploration: selection, focus, history, marks, queries, provenance, export."""
