"""Generated files of many types, equal on every machine, on which magika is measured.

They stand in for a folder of real files, which could not be shipped with the project. Texts come from the templates of
samples.toml; the functions here make the binary types, with nothing that compresses.
"""

import io
import re
import struct
import tarfile
import tomllib
import wave
import zipfile
from pathlib import Path
from random import Random

import numpy as np

TEMPLATES = tomllib.loads(Path(__file__).with_name("samples.toml").read_text())
WORDS = [
    *("sensor", "camera", "valve", "motor", "belt", "frame", "signal", "buffer", "packet", "device", "reading"),
    *("limit", "window", "sample", "status", "alarm", "pressure", "level", "flow", "speed", "count", "table"),
    *("queue", "worker", "batch", "label", "image", "model", "node", "cluster", "edge", "report", "config"),
    *("index", "value", "total", "score", "weight", "rate", "delay", "error", "result", "input", "output"),
]


def text(random: Random, kind: str) -> bytes:
    """Returns a file by the template ``kind``, its body repeated 2 to 12 times."""
    template = TEMPLATES[kind]
    parts = [template.get("head", ""), *[template["body"]] * random.randint(2, 12), template.get("tail", "")]
    return re.sub(r"@[wTUns]", lambda found: _drawn(random, found[0]), "".join(parts)).encode()


def noise(random: Random) -> bytes:
    """Returns random bytes with repetitions, so that the data set stays small."""
    block = random.randbytes(random.randint(200, 400))
    return block + bytes(byte ^ 0x5A for byte in block) * 4


def sound(random: Random) -> bytes:
    """Returns a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 1, 8000, 0, "NONE", "not compressed"))
        out.writeframes(bytes(random.randint(90, 160) for _ in range(100)) * random.randint(20, 60))
    return file.getvalue()


def bitmap(random: Random) -> bytes:
    """Returns a BMP file."""
    side = random.randint(16, 40)
    rows = b"".join(bytes([random.randint(0, 255), row, 40, 0]) * side for row in range(side))
    header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 32, 0, len(rows), 2835, 2835, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(rows), 0, 0, 54) + header + rows


def tar(random: Random) -> bytes:
    """Returns a tar archive of text files."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for _ in range(random.randint(1, 5)):
            data = text(random, "text")
            member = tarfile.TarInfo(f"{random.choice(WORDS)}/{random.choice(WORDS)}.txt")
            member.size, member.mtime = len(data), 1_700_000_000
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def stored_zip(random: Random) -> bytes:
    """Returns a zip archive without compression."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(random.randint(1, 6)):
            archive.writestr(zipfile.ZipInfo(f"{random.choice(WORDS)}/{number}.txt"), _drawn(random, "@s"))
    return file.getvalue()


def packets(random: Random) -> bytes:
    """Returns a capture in pcap's format."""
    capture = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    for second in range(random.randint(4, 20)):
        frame = bytes.fromhex("00112233445566778899aabb0800450000") + _drawn(random, "@s").encode()
        capture += struct.pack("<IIII", 1_700_000_000 + second, 0, len(frame), len(frame)) + frame
    return capture


def array(random: Random) -> bytes:
    """Returns an npy file."""
    file = io.BytesIO()
    np.save(file, np.arange(random.randint(50, 300), dtype=np.int32) * random.randint(1, 999))
    return file.getvalue()


BINARIES = (noise, sound, bitmap, tar, stored_zip, packets, array)


def make(size: int, seed: int) -> list[bytes]:
    """Returns ``size`` files, the types by turns; the same arguments give the same bytes.

    Every other file of a type is a fragment of at least 40 bytes, from anywhere: complete files are so easy that a
    badly quantized model would get them right as well.
    """
    random = Random(seed)
    types = [*TEMPLATES, *BINARIES]
    files = []
    for index in range(size):
        kind = types[index % len(types)]
        file = text(random, kind) if isinstance(kind, str) else kind(random)
        if index // len(types) % 2:
            start = random.randint(0, max(0, len(file) - 40))
            file = file[start : start + random.randint(40, 1000)]
        files.append(file)
    return files


def _drawn(random: Random, placeholder: str) -> str:
    if placeholder == "@n":
        return str(random.randint(1, 999))
    if placeholder == "@s":
        return " ".join(random.choices(WORDS, k=random.randint(5, 14))).capitalize() + "."
    drawn = random.choice(WORDS)
    return {"@w": drawn, "@T": drawn.title(), "@U": drawn.upper()}[placeholder]
