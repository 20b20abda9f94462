"""The compression Job, as the command ``python -m edge_compressor``.

The first process supervises the one that works, and writes the report if that one crashes. It imports no library.
"""

import signal
import sys

from edge_compressor.job.termination import leave, option_parser
from edge_compressor.progress import Progress
from edge_compressor.supervision import supervised
from edgemodel import report
from edgemodel.errors import Stalled
from edgemodel.report import Failed


def work() -> int:
    """Runs the Job and returns the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that it ends what it has begun
    from edge_compressor.job.main import main  # only the process that works needs the memory of its libraries

    return main()


def start() -> int:
    """Runs the Job in a child process and returns the exit code."""
    progress = Progress(sys.stdout)
    try:
        return supervised(work)
    except Stalled as crash:
        failed = report.encode(Failed(crash.reason, crash.message, transient=False))
        termination_log = option_parser().parse_known_args()[0].termination_log
        return leave(failed, crash.exit_code, termination_log, progress)


if __name__ == "__main__":
    sys.exit(start())
