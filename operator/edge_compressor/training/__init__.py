"""The package that needs torch. Only steps that train, and sources that are ExportedPrograms, import it."""

import logging

logging.getLogger("torch").setLevel(logging.ERROR)  # it warns of what only processors of NVIDIA's and pictures need
