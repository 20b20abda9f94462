"""The content codings of bodies: gzip and deflate, with a limit on the expanded size. Pure."""

import zlib

from edgemodel.error_words import in_words
from inference_server.errors import BodyTooLarge, InvalidRequest, UnsupportedCoding
from inference_server.protocol.tensors import Buffer

REPLY_MIN_BYTES = 1024
"""The size below which a reply is not compressed, because that would cost more than it saves."""

_GZIP = zlib.MAX_WBITS | 16
_ZLIB = zlib.MAX_WBITS
_RAW_DEFLATE = -zlib.MAX_WBITS


def expand(body: Buffer, coding: bytes | None, limit: int) -> Buffer:
    """Returns ``body`` without the coding that ``Content-Encoding`` names; None or identity means none.

    Raises BodyTooLarge beyond ``limit`` bytes, InvalidRequest for damaged data, UnsupportedCoding.
    """
    match (coding or b"identity").strip().lower():
        case b"identity":
            return body
        case b"gzip" | b"x-gzip":
            return _inflate(body, _GZIP, limit)
        case b"deflate":
            # Some clients send bare deflate data, without the zlib frame that the name stands for.
            framed = len(body) > 1 and body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2]) % 31 == 0
            return _inflate(body, _ZLIB if framed else _RAW_DEFLATE, limit)
        case other:
            raise UnsupportedCoding(f"Content-Encoding is {other.decode('latin-1')!r}, want gzip or deflate")


def compress(body: bytes, coding: bytes) -> bytes:
    """Returns ``body`` in ``coding``, gzip or deflate, at the lowest level: most of the gain at a fraction of the
    time."""
    packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP if coding == b"gzip" else _ZLIB)
    return packer.compress(body) + packer.flush()


def choose(accept: bytes | None) -> bytes | None:
    """Returns the coding of the reply, by the request's ``Accept-Encoding``; None for none."""
    qualities = dict(_quality(item) for item in (accept or b"").lower().split(b","))
    anything = qualities.get(b"*", 0.0)
    gzip, deflate = (qualities.get(coding, anything) for coding in (b"gzip", b"deflate"))
    if max(gzip, deflate) <= 0:
        return None
    return b"gzip" if gzip >= deflate else b"deflate"


def _inflate(body: Buffer, window: int, limit: int) -> bytes:
    unpacker = zlib.decompressobj(window)
    try:
        expanded = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidRequest(f"the compressed body is damaged: {in_words(error)}") from error
    if len(expanded) > limit:
        raise BodyTooLarge(f"the body expands to more than the limit of {limit} bytes")
    if not unpacker.eof:
        raise InvalidRequest("the compressed body is cut short")
    if unpacker.unused_data:
        raise InvalidRequest(f"{len(unpacker.unused_data)} bytes follow the compressed body")
    return expanded


def _quality(item: bytes) -> tuple[bytes, float]:
    coding, _, parameter = item.partition(b";")
    key, _, value = parameter.strip().partition(b"=")
    try:
        quality = float(value) if key.strip() == b"q" else 1.0
    except ValueError:
        quality = 0.0
    return coding.strip(), quality
