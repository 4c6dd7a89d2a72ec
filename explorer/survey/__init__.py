"""A survey on disk, and how data gets in."""
