"""The cluster that the demo and the end-to-end tests use, with this checkout installed in it.

Without KUBECONFIG it is the lab. With it, it is that cluster, and REGISTRY names the registry that images are pushed to
and that its nodes pull from (``host:port/prefix``; REGISTRY_PLAIN_HTTP=1 if it has no TLS).
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from charts.images.progress import BEGUN, BEGUN_VARIABLE
from edge_cli import main as cli
from examples import lab
from examples.lab import reading
from examples.lab.tools import bin_dir

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
LAYERS = "layers/"
"""The prefix of the named layers in what charts/images/build.py writes."""
SYSTEM_NAMESPACE = "edgemodel-system"
RELEASE = "edgemodel"


class SiteError(Exception):
    """Something is missing or failed; the message says what to do."""


@dataclass(frozen=True)
class Site:
    """A cluster and the programs to work with it."""

    kubeconfig: str
    tools: str
    """The folder with kubectl and helm; empty if they are on PATH."""
    push_to: str
    """The ``host:port/prefix`` that this machine pushes to."""
    pull_from: str
    """The same registry by the name that nodes and pods know."""
    plain_http: bool
    is_lab: bool

    @property
    def environment(self) -> dict[str, str]:
        """Returns the variables of programs that act on the cluster, in which Python finds this checkout's packages
        first."""
        path = f"{self.tools}:{os.environ['PATH']}" if self.tools else os.environ["PATH"]
        return {**os.environ, "KUBECONFIG": self.kubeconfig, "PATH": path, "PYTHONPATH": str(ROOT / "operator")}

    def run(self, *command: str, stdin: str | None = None, timeout: float = 300) -> str:
        """Returns the standard output of a program. Raises SiteError with its output if it fails."""
        done = subprocess.run(
            command, input=stdin, env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=timeout
        )
        if done.returncode != 0:
            raise SiteError(f"{' '.join(command)[:300]} failed ({done.returncode}): {done.stderr.strip()[-2000:]}")
        return done.stdout

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 300) -> str:
        """Returns the output of kubectl."""
        return self.run("kubectl", *arguments, stdin=stdin, timeout=timeout)

    def get(self, *arguments: str) -> Any:
        """Returns the result of ``kubectl get … -o json``, without starting it if ``reading`` knows the words."""
        path = reading.path_of(arguments)
        if path is None:
            return json.loads(self.kubectl("get", *arguments, "-o", "json"))
        try:
            return reading.read(self._proxy_port(), path)
        except reading.Unreadable as error:
            raise SiteError(f"get {' '.join(arguments)}: {error}") from error

    def get_raw(self, path: str) -> str:
        """Returns the result of ``kubectl get --raw``, without starting it."""
        try:
            return reading.read_text(self._proxy_port(), path.removeprefix("/"))
        except reading.Unreadable as error:
            raise SiteError(f"get --raw {path}: {error}") from error

    def _proxy_port(self) -> int:
        return reading.proxy_port(self.kubeconfig, self.tools)


def find_site() -> Site:
    """Returns the site. Raises SiteError if there is neither a lab nor a KUBECONFIG with REGISTRY."""
    kubeconfig = os.environ.get("KUBECONFIG", "")
    if kubeconfig and kubeconfig != str(lab.KUBECONFIG):
        registry = os.environ.get("REGISTRY", "")
        if not registry:
            raise SiteError(
                "KUBECONFIG is set: name the registry that its nodes can pull from, REGISTRY=host:port/prefix"
            )
        plain = os.environ.get("REGISTRY_PLAIN_HTTP") == "1"
        return Site(kubeconfig, "", registry, os.environ.get("REGISTRY_FROM_CLUSTER", registry), plain, is_lab=False)
    if not lab.status().healthy:
        raise SiteError("there is no healthy lab: bring it up with `make lab-up`, or set KUBECONFIG and REGISTRY")
    return Site(
        str(lab.KUBECONFIG), str(bin_dir()), "127.0.0.1:5000/edgemodel", "registry.lab:5000/edgemodel", True, True
    )


def build_images(site: Site, *names: str, platforms: Sequence[str] = ()) -> dict[str, str]:
    """Returns the reference with digest of each image, pushed to the site's registry; all images, or ``names``, for all
    platforms or for ``platforms``."""
    digests = BUILD / "images.json"
    BUILD.mkdir(exist_ok=True)
    command = [*_build_command(names, platforms), "--push", site.push_to, "--name-as", site.pull_from]
    command += ["--digests", str(digests), *(["--plain-http"] if site.plain_http else [])]
    done = subprocess.run(command, cwd=ROOT, env=_build_environment())
    if done.returncode != 0:
        raise SiteError(f"building the images failed: {' '.join(command)}")
    images: dict[str, str] = json.loads(digests.read_text())
    return images


@contextmanager
def images_built_beside(*names: str, platforms: Sequence[str]) -> Iterator[None]:
    """Builds images while the context runs, and leaves it when they are built: then ``build_images`` only pushes them.

    Raises SiteError if that fails. An error inside the context ends the build.
    """
    command = _build_command(names, platforms)
    # In a session of its own, Ctrl-C does not reach it: it is interrupted once, below.
    process = subprocess.Popen(command, cwd=ROOT, env=_build_environment(), start_new_session=True)
    try:
        yield
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)  # it and its programs remove what they have begun
        process.wait()
        raise
    if process.wait() != 0:
        raise SiteError(f"building the images failed: {' '.join(command)}")


def _build_command(names: Sequence[str], platforms: Sequence[str]) -> list[str]:
    only = [word for name in names for word in ("--only", name)]
    platform = ["--platform", ",".join(platforms)] if platforms else []
    return [sys.executable, "charts/images/build.py", *only, *platform]


def _build_environment() -> dict[str, str]:
    """Returns the variables with which a build counts the seconds since this program began."""
    return {**os.environ, BEGUN_VARIABLE: str(BEGUN)}


def chart_values(site: Site, images: dict[str, str]) -> dict[str, Any]:
    """Returns Helm values that install exactly the images of this checkout."""

    def image(name: str) -> dict[str, str]:
        repository, digest = images[name].split("@")
        return {"repository": repository, "digest": digest}

    registry = site.pull_from.split("/")[0]
    # Tests cut the camera nodes; what the chart itself runs stays on the gateway.
    where = {"nodeSelector": {"edge": "gateway"}} if site.is_lab else {}
    return {
        "operator": {
            "image": image("operator"),
            "plainHTTPHosts": [registry] if site.plain_http else [],
            "allowedConverterImages": [f"{site.pull_from}/converters/"],
            **where,
        },
        "server": {
            "image": image("server"),
            "layers": {name.removeprefix(LAYERS): images[name] for name in images if name.startswith(LAYERS)},
        },
        "compressor": {"image": image("compressor")},
        **({"trainer": {"image": image("trainer")}} if "trainer" in images else {}),
        "registry": {"image": image("registry"), **where},
        "prometheus": {"image": image("prometheus"), "scrapeIntervalSeconds": 2, **where},
    }


def install_chart(site: Site, images: dict[str, str]) -> None:
    """Installs this checkout's chart, or upgrades to it, and waits until every Deployment is available."""
    install(site, ROOT / "charts" / "edgemodel", chart_values(site, images), BUILD / "values.json")


def install(site: Site, chart: Path, values: dict[str, Any], file: Path) -> None:
    """Installs a chart, or upgrades to it, with ``values``, which it writes to ``file``; waits as ``install_chart``."""
    file.write_text(json.dumps(values, indent=2))
    command = ["upgrade", "--install", RELEASE, str(chart), "--namespace", SYSTEM_NAMESPACE, "--create-namespace"]
    site.run("helm", *command, "--values", str(file), "--wait", "--timeout", "3m", timeout=210)


def push_example(site: Site, folder: str, *files: Path) -> dict[str, str]:
    """Returns the ``oci://`` URI with digest by file stem, as the cluster names it.

    It pushes as ``edgemodel push`` does, but without a process, which takes a second to start: tests push often.
    """
    found = {}
    for file in files:
        target = f"oci://{site.push_to.split('/')[0]}/examples/{folder}/{file.stem}"
        with redirect_stdout(StringIO()) as told, redirect_stderr(told):
            code = cli.main(["push", str(file), target, *(["--plain-http"] if site.plain_http else [])])
        uri = told.getvalue()
        if code != 0:
            raise SiteError(f"edgemodel push {file} {target}: {uri}")
        found[file.stem] = uri.strip().replace(site.push_to.split("/")[0], site.pull_from.split("/")[0], 1)
    return found


def example_manifest(site: Site, path: Path) -> str:
    """Returns the manifest of the tree with this site's registry in place of ``registry.example``."""
    return path.read_text().replace("oci://registry.example/", f"oci://{site.pull_from.split('/')[0]}/")
