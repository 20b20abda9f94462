"""The parts of ``Auto``: which recipes are tried, how each is measured, and which of them is taken.

They know nothing of the step types; ``steps/auto.py`` brings those and the order in which things happen.
"""
