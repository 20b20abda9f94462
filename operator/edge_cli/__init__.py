"""The commands ``edgemodel`` and ``kubectl edgemodel``, a file a verb.

A verb imports what it needs when it runs, so that ``--help`` needs neither numpy nor a model runtime, and the plug-in
of kubectl needs nothing but Python.
"""
