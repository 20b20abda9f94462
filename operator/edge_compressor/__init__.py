"""The compressor: source, steps, evaluation, gate and packaging, for one revision.

``python -m edge_compressor`` is the Job, and ``edgemodel compress`` does the same locally. Both run ``pipeline``; they
differ in where the files come from and where the artifact goes. No user code runs here: models go in, and models come
out.
"""
