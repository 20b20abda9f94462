"""The models of this process: load, verify, test, serve, swap, unload."""
