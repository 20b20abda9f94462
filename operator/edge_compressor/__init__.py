"""The compressor: source -> steps -> evaluate -> gate -> package, for one revision.

``python -m edge_compressor`` is the Job, ``edgemodel compress`` the same locally. Both run ``pipeline``; they
differ in where the files come from and where the artifact goes. Tier 1: ONNX in, ONNX out, no user code.
"""
