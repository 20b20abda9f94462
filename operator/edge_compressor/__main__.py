"""``python -m edge_compressor``: the compression Job."""

import sys

from edge_compressor.job import main

sys.exit(main())
