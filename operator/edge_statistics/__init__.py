"""Statistics of verdicts, for the gate of a compression Job and for the analysis of a rollout.

Each module names the source of its formula. All functions are pure, and the standard library is all that they need.
"""
