"""A reader of the documentation's pages, who does on a cluster what they say."""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from examples.lab.ports import free_port
from examples.lab.site import ROOT, Site
from tests.support import manifests
from tests.support.edge_models import Workspace
from tests.support.pages import Block, PageFailure, Terminal, blocks_of

NODE = "camera-1"
CHART = "values.yaml"
"""The name of the file with the values of the chart, which all tests share: a page's are put to the schema alone."""
PUSHED = re.compile(r"^oci://\S+/([\w.-]+)@sha256:[0-9a-f]{64}$", re.MULTILINE)
NAMED = re.compile(r"(?:oci://)?[\w.:/-]+/([\w.-]+)@sha256:(?:…|[0-9a-f]{64})")


class Reader:
    """A reader with a terminal in a folder like a checkout, and a namespace of his own, which a page calls vision."""

    def __init__(self, work: Workspace, terminal: Terminal) -> None:
        self.work, self.terminal = work, terminal
        self.pushed: dict[str, str] = {}
        """The address of what was pushed, by the last word of its repository."""
        self.watch = work.folder / "watch.txt"

    def read(self, page: str, *sections: str, seconds: float = 300) -> str:
        """Does all that the page says, or what it says in ``sections``, and returns what was printed; a block may take
        ``seconds``."""
        printed = ""
        blocks = [block for block in blocks_of(page) if not sections or block.section in sections]
        assert blocks
        for block in blocks:
            if block.not_run:
                continue
            if block.language == "sh":
                output = self.terminal.run(block, seconds)
                self.pushed |= {found[1]: found[0] for found in PUSHED.finditer(output)}
                printed += output
            elif block.language == "python" and block.file:
                (self.terminal.where / block.file).write_text(block.text)
            elif block.language == "yaml" and block.file != CHART:
                self._save(block)
        return printed

    def saw(self, *reasons: str) -> None:
        """Checks that the page's last ``--watch`` showed these reasons one after the other."""
        lines = self.watch.read_text().splitlines()
        shown = [line.split()[2] for line in lines if len(line.split()) > 2]
        rest = iter(shown)
        missed = [reason for reason in reasons if reason not in rest]
        assert not missed, f"the watch showed no {missed[0]} in this order: {shown}"

    def _save(self, block: Block) -> None:
        """Writes a manifest, or puts a part of one into the ``spec`` of the file that the block names; addresses become
        those of what was pushed."""
        if not block.file:
            raise PageFailure(f"{block} does not name its file")
        file = self.terminal.where / block.file
        item = manifests.read(self.terminal.here(block.text))
        if "kind" not in item:
            whole = manifests.read(file.read_text())
            item = {**whole, "spec": {**whole["spec"], **item}}
        item["metadata"]["namespace"] = self.work.namespace
        text = json.dumps(item, ensure_ascii=False)
        file.write_text(NAMED.sub(lambda found: self.pushed.get(found[1], found[0]), text))


@contextmanager
def reading(work: Workspace) -> Iterator[Reader]:
    """Yields a reader; whatever runs in the terminal ends with the context."""
    folder = work.folder / "checkout"
    for name in ("examples/fashion-mnist", "charts/edgemodel"):
        shutil.copytree(ROOT / name, folder / name)
    with Terminal(folder, _environment(work.site), _stands_for(work)) as terminal:
        yield Reader(work, terminal)


def _environment(site: Site) -> dict[str, str]:
    """Returns the variables of a terminal in which the commands of this checkout are installed."""
    path = f"{Path(sys.executable).parent}:{site.environment['PATH']}"
    return {**site.environment, "PATH": path, "PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}"}


def _stands_for(work: Workspace) -> dict[str, str]:
    """Returns what stands on the lab for what the pages write."""
    host = work.site.pull_from.split("/")[0]
    port = free_port()
    local = f"http://127.0.0.1:{port}"
    node = f"{sys.executable} -m examples.lab exec {NODE} --"
    return {
        r"/tmp/": f"{work.folder}/",  # first: the folder is below it
        # The namespace is there, and demands Pod Security restricted.
        r"kubectl create namespace vision": "kubectl get namespace vision",
        # Other tests use the chart that is installed: the API server judges what the command would install.
        r"helm install edgemodel": "helm upgrade --install --dry-run=server --hide-notes edgemodel",
        # A person watches, and ends it with Ctrl-C.
        r"(?m)^(kubectl get .*--watch)$": rf"[ -z ${{WATCH-}} ] || kill $WATCH\n"
        rf"\1 >{work.folder}/watch.txt & WATCH=$!",
        # The images are in the registry.
        r"make build/venv/ready && .*": f"REGISTRY={work.site.pull_from}",
        r"label node NODE": f"label node {NODE}",
        # A node stands for a pod on it; it knows no names of Services.
        r"curl (.*)http://fashion-mnist\.vision:8080": rf"{node} curl -sS \1http://$(kubectl get service fashion-mnist "
        r"-n vision -o 'jsonpath={.spec.clusterIP}'):8080",
        # A person has the forwarding in another terminal.
        r"(?m)^(kubectl port-forward .*) 8080$": rf"[ -z ${{FORWARD-}} ] || kill $FORWARD\n\1 {port}:8080 &\n"
        rf"FORWARD=$!; curl -sS --retry 20 --retry-connrefused --retry-delay 1 {local}/v2/health/ready",
        r"http://127\.0\.0\.1:8080": local,
        r"\bvision\b": work.namespace,
        r"\bregistry\.example/edgemodel\b": work.site.pull_from,
        r"\bregistry\.example\b": host,
    }  # fmt: skip
