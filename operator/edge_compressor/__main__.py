"""The compression Job, as the command ``python -m edge_compressor``."""

import signal
import sys

from edge_compressor.job.main import main

# The first process of a container ignores signals that it does not handle, and would be killed 30 s later.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
sys.exit(main())
