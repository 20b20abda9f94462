"""The plots of a report, as self-contained SVG: no script, no font, no other file."""
