"""The preflight: measurements of the candidate on one node of each hardware class, before the first wave. Pure."""
