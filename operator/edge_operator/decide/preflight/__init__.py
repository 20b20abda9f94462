"""Before the first wave: what the candidate does on one node of each hardware class. Pure."""
