"""Which request runs when: worker threads with a bounded queue, and batches of what waits."""
