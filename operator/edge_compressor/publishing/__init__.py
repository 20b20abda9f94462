"""Artifacts in a registry: a layer on the server's image, and the reports of a published artifact."""
