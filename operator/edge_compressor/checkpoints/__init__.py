"""Where a training keeps how far it is."""
