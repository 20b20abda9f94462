"""What needs torch. Imported only by steps that train and for sources that are ExportedPrograms: others do without."""

import logging

logging.getLogger("torch").setLevel(logging.ERROR)  # it warns of what only processors of NVIDIA's and pictures need
