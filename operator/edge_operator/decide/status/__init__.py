"""What status says of a pass: conditions, and why nothing moves. Pure."""
