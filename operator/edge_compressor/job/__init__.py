"""The process in the cluster: one request in, one report out."""
