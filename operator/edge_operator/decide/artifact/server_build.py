"""The server that artifacts are put on: the base and the named layers between it and the model."""

from collections.abc import Iterable

from edge_operator.decide.observation import OperatorSettings, Revision


def is_on_current_server(revision: Revision, settings: OperatorSettings) -> bool:
    """Returns whether the chart still names the base of ``revision`` and the layers below its artifacts.

    A layer that the chart no longer names is no reason to make them again, since there is no replacement.
    """
    layers = _layers_of([revision]).items()
    is_same = all(settings.server_layers.get(name, image) == image for name, image in layers)
    return is_same and revision.spec.server_image == settings.server_image


def current_server(earlier: Iterable[Revision], settings: OperatorSettings) -> str:
    """Returns a text that identifies the server that artifacts like those of ``earlier`` would be put on now."""
    layers = _layers_of(earlier)
    return "/".join([settings.server_image, *(settings.server_layers.get(name, layers[name]) for name in layers)])


def _layers_of(revisions: Iterable[Revision]) -> dict[str, str]:
    """Returns the image of every named layer of these revisions, by name."""
    variants = (variant for revision in revisions for variant in revision.spec.variants)
    return dict(sorted(item for variant in variants for item in variant.artifact.server_layers.items()))
