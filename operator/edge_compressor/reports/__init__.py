"""What people read of a compression: the same facts as Markdown and as a page with plots."""

from edge_compressor.reports.write import write_reports

__all__ = ["write_reports"]
