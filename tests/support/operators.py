"""Starts an operator for each line of standard input, one after the other; prints its process id, and later ``ended``.

The operator's imports take longer than the rest of its start, so this program imports once, and forks.
"""

import os
import sys

from edge_operator.__main__ import main

for _ in sys.stdin:
    pid = os.fork()
    if pid == 0:
        os.dup2(2, 1)
        os._exit(main())
    print(pid, flush=True)
    os.waitpid(pid, 0)
    print("ended", flush=True)
