"""The operator's settings, from environment variables that the chart sets."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_oci.urls import NoUrl, check_url
from edge_operator.decide.observation import OperatorSettings
from edge_operator.decide.resources import Resources, with_defaults
from edge_operator.prometheus import PrometheusSettings
from edgemodel.error_words import in_words
from edgemodel.errors import Stalled
from edgemodel.job_images import JOB_IMAGES
from edgemodel.json_text import parse_json
from edgemodel.reasons import INVALID_SPEC


@dataclass(frozen=True)
class ProcessSettings:
    """The settings of one operator process."""

    namespace: str
    identity: str
    decisions: OperatorSettings
    json_logs: bool
    prometheus: PrometheusSettings
    reasons_url: str = ""
    """The URL of the page of reasons; empty: nothing links to it."""
    registry_deployment: str = ""
    """The embedded registry's Deployment in ``namespace``; empty if there is none, or it must not be restarted."""
    http_port: int = 8080
    token_port: int = 8082

    @property
    def images(self) -> dict[str, str]:
        """Returns the images of new revisions and Jobs, by their programs."""
        return {"server": self.decisions.server_image, **self.decisions.job_images}


def from_environment(environment: Mapping[str, str] = os.environ) -> ProcessSettings:
    """Returns the settings. Raises Stalled, which names the variable, if one is missing or malformed."""

    def need(name: str) -> str:
        value = environment.get(name, "")
        if not value:
            raise Stalled(INVALID_SPEC, f"environment variable {name} is not set; the chart sets it")
        return value

    def names(name: str) -> tuple[str, ...]:
        return tuple(item.strip() for item in environment.get(name, "").split(",") if item.strip())

    return ProcessSettings(
        namespace=need("EDGEMODEL_OPERATOR_NAMESPACE"),
        identity=environment.get("HOSTNAME", "edgemodel-operator"),
        decisions=OperatorSettings(
            server_image=need("EDGEMODEL_SERVER_IMAGE"),
            job_images={image.name: need(image.variable) for image in JOB_IMAGES.values()},
            registry_push=need("EDGEMODEL_REGISTRY_PUSH"),
            registry_pull=need("EDGEMODEL_REGISTRY_PULL"),
            progress_url=environment.get("EDGEMODEL_PROGRESS_URL", ""),
            registry_embedded=environment.get("EDGEMODEL_REGISTRY_EMBEDDED", "true") == "true",
            plain_http_hosts=names("EDGEMODEL_PLAIN_HTTP_HOSTS"),
            allowed_source_hosts=names("EDGEMODEL_ALLOWED_SOURCE_HOSTS"),
            allowed_converter_images=names("EDGEMODEL_ALLOWED_CONVERTER_IMAGES"),
            default_resources=_default_resources("EDGEMODEL_DEFAULT_RESOURCES", environment),
            image_pull_secrets=names("EDGEMODEL_IMAGE_PULL_SECRETS"),
            registry_push_secret=environment.get("EDGEMODEL_REGISTRY_PUSH_SECRET", ""),
            registry_pull_secret=environment.get("EDGEMODEL_REGISTRY_PULL_SECRET", ""),
            server_layers=_texts("EDGEMODEL_SERVER_LAYERS", environment),
            upgrade_servers=environment.get("EDGEMODEL_SERVER_UPGRADE_POLICY") == "Immediate",
        ),
        prometheus=_prometheus(need("EDGEMODEL_PROMETHEUS_URL"), environment),
        registry_deployment=environment.get("EDGEMODEL_REGISTRY_DEPLOYMENT", ""),
        reasons_url=environment.get("EDGEMODEL_REASONS_URL", ""),
        json_logs=environment.get("EDGEMODEL_LOG_FORMAT", "text") == "json",
    )


def _prometheus(url: str, environment: Mapping[str, str]) -> PrometheusSettings:
    try:
        check_url(url)
    except NoUrl:
        message = f"EDGEMODEL_PROMETHEUS_URL is {url[:200]!r}, want http://… or https://…"
        raise Stalled(INVALID_SPEC, message) from None
    folder = environment.get("EDGEMODEL_PROMETHEUS_CREDENTIALS", "")
    headers = _texts("EDGEMODEL_PROMETHEUS_HEADERS", environment)
    return PrometheusSettings(
        url=url,
        credentials=Path(folder) if folder else None,
        headers=headers,
        answers_users=environment.get("EDGEMODEL_PROMQL_CHECKS", "true") == "true",
    )


def _default_resources(name: str, environment: Mapping[str, str]) -> dict[str, Resources]:
    """Returns the resources by kind of container; none if the variable is not set. Raises Stalled."""
    try:
        value: dict[str, Resources] = parse_json(environment.get(name) or "{}")
        return {kind: with_defaults(kind, wanted, {}) for kind, wanted in value.items() if wanted}
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        problem = f"{name} does not have requests and limits by kind of container: {in_words(error)}"
        raise Stalled(INVALID_SPEC, problem) from error


def _texts(name: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the texts of a JSON object in a variable. Raises Stalled, which names it, if it holds none."""
    try:
        value = parse_json(environment.get(name) or "{}")
        return {str(key): str(text) for key, text in value.items()}
    except (ValueError, AttributeError) as error:
        raise Stalled(INVALID_SPEC, f"{name} is not a JSON object: {in_words(error)}") from error
