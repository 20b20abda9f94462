"""Formats in which models come."""
