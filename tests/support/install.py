"""The program ``python -m tests.support.install``, which builds, pushes and installs this checkout where the tests will
run."""

import sys
import time

from examples.lab.site import SiteError, build_images, find_site, install_chart


def main() -> int:
    """Returns the exit status: 0 if the chart was installed in the lab."""
    started = time.monotonic()
    try:
        site = find_site()
        images = build_images(site)
        print(f"[{time.monotonic() - started:6.1f} s] installing the chart", flush=True)
        install_chart(site, images)
    except SiteError as error:
        print(f"install: {error}", file=sys.stderr)
        return 1
    print(f"[{time.monotonic() - started:6.1f} s] installed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
