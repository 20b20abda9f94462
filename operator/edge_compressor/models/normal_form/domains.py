"""The table of operator sets: one entry for each domain that is used, under one spelling."""

from collections.abc import Iterator
from functools import cache

import onnx

from edge_compressor.models.normal_form.refusal import OutOfOrder
from edge_compressor.models.onnx_model import nodes, subgraphs

ALIAS = "ai.onnx"
"""Another spelling of the default domain, whose name is empty."""


def order_domains(model: onnx.ModelProto) -> list[str]:
    """Gives each domain one entry, the default one under its empty name, and adds missing ones.

    If a domain has several entries, the last counts, as in onnxruntime. Raises OutOfOrder for a version that no
    operator set has yet.
    """
    changes = []
    for node in _all_nodes(model):
        if node.domain == ALIAS:
            node.domain = ""
    for function in model.functions:
        for item in function.opset_import:
            item.domain = _plain(item.domain)
    given = [(item.domain, int(item.version)) for item in model.opset_import]
    table = {_plain(domain): version for domain, version in given}
    if (ALIAS in dict(given)) or len(given) != len(table):
        changes.append(f"the table of operator sets had entries {_listed(given)}, now {_listed(list(table.items()))}")
    newest = _newest_versions()
    used = {node.domain for node in _all_nodes(model)}
    if missing := sorted(domain for domain in used if domain not in table and domain in newest):
        table |= {domain: newest[domain] for domain in missing}
        changes.append(f"the table of operator sets had no entry for {_listed([(one, table[one]) for one in missing])}")
    for domain, version in table.items():
        if domain in used and version > newest.get(domain, version):
            name, limit = domain or ALIAS, newest[domain]
            message = f"operator set {version} of {name} is newer than what nodes can run (up to {limit})"
            raise OutOfOrder(f"{message}: export the model with operator set {limit} or lower")
    _set(model, table)
    return changes


def drop_unused_domains(model: onnx.ModelProto) -> list[str]:
    """Drops the entries of domains that no node uses, so that no runtime has to know their versions."""
    used = {node.domain for node in _all_nodes(model)} | {""}
    used |= {function.domain for function in model.functions}
    table = {item.domain: int(item.version) for item in model.opset_import}
    if dropped := [(domain, version) for domain, version in table.items() if domain not in used]:
        _set(model, {domain: version for domain, version in table.items() if domain in used})
        return [f"the table of operator sets named {_listed(dropped)}, which no node uses"]
    return []


def _all_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    yield from nodes(model.graph)
    for function in model.functions:
        for node in function.node:
            yield node
            for inner in subgraphs(node):
                yield from nodes(inner)


def _plain(domain: str) -> str:
    return "" if domain == ALIAS else domain


@cache
def _newest_versions() -> dict[str, int]:
    """Returns the newest version of each standard domain; onnxruntime's own has one."""
    newest = {"": int(onnx.defs.onnx_opset_version()), "com.microsoft": 1}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "ai.onnx.ml":
            newest[schema.domain] = max(newest.get(schema.domain, 1), int(schema.since_version))
    return newest


def _set(model: onnx.ModelProto, table: dict[str, int]) -> None:
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(domain, version) for domain, version in table.items())


def _listed(entries: list[tuple[str, int]]) -> str:
    return ", ".join(f"{domain!r} {version}" for domain, version in entries)
