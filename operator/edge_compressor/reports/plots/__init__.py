"""Pictures of a report, as SVG that stands for itself: no script, no font, no file besides."""
