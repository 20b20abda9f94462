"""The ways in: each listener takes requests of one wire protocol and asks the service for the answers."""
