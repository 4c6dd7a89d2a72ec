"""Registered scorers, one file each."""
