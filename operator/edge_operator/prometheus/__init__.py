"""The only speaker to Prometheus: asks for what a plan needs, a handful of queries whatever the size of the fleet."""

from edge_operator.prometheus.client import Prometheus, PrometheusError, PrometheusSettings
from edge_operator.prometheus.measure import measure

__all__ = ["Prometheus", "PrometheusError", "PrometheusSettings", "measure"]
