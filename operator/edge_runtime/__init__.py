"""Runs models, for the compressor, which measures and judges them, and for the server, which serves them.

It decides once, for both: the datatypes, the options of a session, the processor's instruction sets, when two answers
agree, and which runtime loads an artifact. So a node serves with the options that the gate measured with.
"""
