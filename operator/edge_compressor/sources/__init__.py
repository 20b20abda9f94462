"""Fetches files from registries, over HTTP, from volumes and local folders."""
