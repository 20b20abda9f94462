#!/usr/bin/env python3
"""Sends a node one picture of each class and prints the answers. It needs only Python.

examples/fashion-mnist/request.py http://NODE:8080
"""

import argparse
import json
from pathlib import Path
from urllib.request import Request, urlopen

# In the order of the labels, and of the pictures in request.json.
CLASSES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


def infer(server: str, model: str, request: bytes) -> list[str]:
    """Returns the class that ``model`` gives each picture of ``request``. Raises URLError if nobody answers, or with an
    error."""
    url = f"{server.rstrip('/')}/v2/models/{model}/infer"
    with urlopen(Request(url, request, {"Content-Type": "application/json"}), timeout=30) as reply:
        (output,) = json.load(reply)["outputs"]
    images, classes = output["shape"]
    rows = [output["data"][image * classes : (image + 1) * classes] for image in range(images)]
    return [CLASSES[row.index(max(row))] for row in rows]


def main() -> None:
    """Sends a server one picture of each class, and prints its answers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", help="e.g. http://127.0.0.1:8080")
    parser.add_argument("--model", default="fashion-mnist", help="name of the EdgeModel (%(default)s)")
    options = parser.parse_args()
    request = Path(__file__).with_name("request.json").read_bytes()
    seen = infer(options.server, options.model, request)
    for expected, got in zip(CLASSES, seen, strict=True):
        print(f"{expected:12} seen as {got:12} {'' if got == expected else 'wrong'}".rstrip())


if __name__ == "__main__":
    main()
