"""Where files come from: registries, HTTP, volumes, and local folders."""
