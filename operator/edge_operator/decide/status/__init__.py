"""The status of a pass: conditions, and the reasons why nothing moves. Pure."""
