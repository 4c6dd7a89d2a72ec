"""Registered readers, one file each."""
