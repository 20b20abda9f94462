"""The Open Inference Protocol v2: requests, replies, tensors and metadata. Pure."""
