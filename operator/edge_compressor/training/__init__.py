"""The package that needs torch. Only steps that train, and sources that are ExportedPrograms, import it."""

import logging

logging.getLogger("torch").setLevel(logging.ERROR)  # it warns about missing packages for NVIDIA's GPUs and for images
