"""The objects that end-to-end tests read without a process, and those that they leave to kubectl."""

import pytest

from examples.lab.reading import path_of


@pytest.mark.parametrize(
    ("words", "path"),
    [
        ("nodes", "api/v1/nodes"),
        ("edgemodel m -n vision", "apis/edgemodel.io/v1alpha1/namespaces/vision/edgemodels/m"),
        ("jobs -n vision", "apis/batch/v1/namespaces/vision/jobs"),
        ("pods -n v -l app=a", "api/v1/namespaces/v/pods?labelSelector=app%3Da"),
        ("events -n v --field-selector reason=R", "api/v1/namespaces/v/events?fieldSelector=reason%3DR"),
        ("edgemodel m -n vision --show-managed-fields", None),
        ("jobs,pods -n vision", None),
        ("lease edgemodel-operator -n s", None),
    ],
)
def test_a_read_is_the_path_that_kubectl_would_ask(words: str, path: str | None) -> None:
    assert path_of(words.split()) == path
