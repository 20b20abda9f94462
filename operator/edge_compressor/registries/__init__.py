"""Registries as the compressor uses them: credentials, errors, and the one embedded in a cluster."""
