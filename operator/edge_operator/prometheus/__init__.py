"""The only package that talks to Prometheus: a few queries per plan, whatever the size of the fleet."""

from edge_operator.prometheus.client import Prometheus, PrometheusError, PrometheusSettings
from edge_operator.prometheus.measure import WaveMeasurement

__all__ = ["Prometheus", "PrometheusError", "PrometheusSettings", "WaveMeasurement"]
