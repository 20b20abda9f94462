"""The plugins that the lab's CoreDNS needs."""

import yaml

from examples.lab.layout import HERE


def corefile_plugins() -> set[str]:
    """Returns the names of the plugins in the lab's Corefile."""
    objects = yaml.safe_load_all((HERE / "manifests" / "coredns.yaml").read_text())
    (corefile,) = (item["data"]["Corefile"] for item in objects if item["kind"] == "ConfigMap")
    found, depth = set(), 0
    for line in map(str.split, corefile.splitlines()):
        if depth == 1 and line and line != ["}"]:
            found.add(line[0])
        depth += line.count("{") - line.count("}")
    assert found, corefile
    assert depth == 0, corefile
    return found
