"""The status of a pass: conditions, and why nothing moves. Pure."""
