"""The interface of steps: their type, their settings, and the context that they run in."""
