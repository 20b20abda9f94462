"""The Open Inference Protocol over HTTP: an ASGI application on uvicorn, and a fast path beside it."""
