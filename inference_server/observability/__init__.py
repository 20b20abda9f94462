"""Counts of requests, of their times and of predictions, and their export."""
