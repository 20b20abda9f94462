"""The stores of a training's checkpoints."""
