# The probe of one image follows in the same program; a line before this text defines PACKAGES, our own.
import importlib
import pkgutil
import resource
import time

PACKAGES: list[str] = globals().get("PACKAGES", [])

begun = time.monotonic()
for package in PACKAGES:
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
seconds = time.monotonic() - begun
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(f"all of {', '.join(PACKAGES)} imported in {seconds:.1f} s, {peak} MiB at most")
