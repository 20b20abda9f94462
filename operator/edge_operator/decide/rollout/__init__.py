"""The trial of a candidate: wave after wave until it is promoted or rolled back. Pure."""
