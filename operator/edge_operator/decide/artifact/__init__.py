"""From the spec to a recorded revision: which Job compresses, what it may run, what the registry keeps. Pure."""
