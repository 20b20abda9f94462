"""The commands ``edgemodel`` and ``kubectl edgemodel``, with one file per verb.

A verb imports what it needs when it runs, so that ``--help`` needs neither numpy nor a model runtime, and the plug-in
of kubectl needs nothing but Python.
"""
