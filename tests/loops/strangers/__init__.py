"""Loops of strangers: data, see README.md."""
