"""Answers of strangers: data, see README.md."""
