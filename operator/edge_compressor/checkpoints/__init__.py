"""The places that keep checkpoints of trainings."""
