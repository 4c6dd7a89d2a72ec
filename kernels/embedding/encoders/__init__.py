"""Registered encoders, one file each."""
