"""The artifact: which Job compresses, which images may run, and what the registry keeps. Pure."""
