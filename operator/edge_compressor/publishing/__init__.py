"""Artifacts in a registry: one more layer on the server's image, and what a published one says of itself."""
