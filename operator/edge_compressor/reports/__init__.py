"""Reports of a compression for people: the same facts as Markdown and as a page with plots."""

from edge_compressor.reports.write import write_reports

__all__ = ["write_reports"]
