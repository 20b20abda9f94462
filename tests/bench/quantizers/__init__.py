"""Other quantizers with their own defaults, each run in its own environment.

``python <quantizer>_default.py MODEL FEEDS OUTPUT``: FEEDS is an .npz with an array ``<number>/<input>`` for each input
of each calibration feed.
"""
