"""Runs models: shared by the compressor, which measures and judges it, and by the server, which serves it.

What is decided here is decided once: the datatypes, the options of a session, the processor's abilities, when two
answers agree, and which runtime loads an artifact. So a node serves with what the gate measured with.
"""
