"""The interface of steps: their type, settings and context."""
