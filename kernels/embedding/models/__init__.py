"""Architectures of the published encoders, one family a file; sizes are parameters."""
