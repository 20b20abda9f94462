"""The candidate on trial: wave after wave until it is promoted or rolled back. Pure."""
