"""The order in which requests run: worker threads with a bounded queue, and batches of waiting requests."""
