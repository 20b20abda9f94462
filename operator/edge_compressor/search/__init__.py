"""The parts of ``Auto``: the recipes that are tried, the measurement of each, and the choice among them.

They know nothing of the step types, which ``steps/auto.py`` adds, together with the order of the search.
"""
