"""The nodes that an EdgeModel is for, what each should run by its pins, and what it does run by its pods. Pure."""
