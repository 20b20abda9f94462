"""The placement: the selected nodes, what each should run by its pins, and what it does run by its pods. Pure."""
