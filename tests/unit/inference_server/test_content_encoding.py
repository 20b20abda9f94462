import gzip
import zlib

import pytest

from inference_server.errors import BodyTooLarge, InvalidRequest, UnsupportedCoding
from inference_server.listeners.http.content_encoding import choose, compress, expand

TEXT = b"some body " * 50
GZIPPED = gzip.compress(TEXT, mtime=0)


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (None, TEXT),
        (b"identity", TEXT),
        (b"gzip", GZIPPED),
        (b"GZip", GZIPPED),
        (b"deflate", zlib.compress(TEXT)),
        (b"deflate", raw_deflate(TEXT)),
    ],
)
def test_a_coded_body_expands_to_the_original(coding: bytes | None, body: bytes) -> None:
    assert expand(body, coding, len(TEXT)) == TEXT


def test_a_body_may_not_expand_beyond_the_limit() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    with pytest.raises(BodyTooLarge, match="expands to more than the limit of 1000 bytes"):
        expand(bomb, b"gzip", 1000)


@pytest.mark.parametrize(
    ("coding", "body", "message"),
    [
        (b"gzip", b"", "cut short"),
        (b"gzip", GZIPPED[:-3], "cut short"),
        (b"gzip", b"not gzip at all", "damaged"),
        (b"gzip", GZIPPED[:-5] + b"\0" * 5, "damaged"),
        (b"gzip", GZIPPED + b"x", "1 bytes follow the compressed body"),
        (b"deflate", zlib.compress(TEXT)[:-1], "cut short"),
        (b"deflate", b"\xff\xff\xff", "damaged"),
    ],
)
def test_a_damaged_body_is_refused(coding: bytes, body: bytes, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        expand(body, coding, 10_000)


def test_an_unknown_coding_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(UnsupportedCoding, match="Content-Encoding is 'br', want gzip or deflate") as caught:
        expand(TEXT, b"br", 10_000)
    assert caught.value.status == 415


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        (None, None),
        (b"", None),
        (b"identity", None),
        (b"br", None),
        (b"gzip", b"gzip"),
        (b"deflate", b"deflate"),
        (b"gzip, deflate, br", b"gzip"),
        (b"gzip;q=0.1, deflate;q=0.5", b"deflate"),
        (b"gzip;q=0", None),
        (b"*", b"gzip"),
        (b"*;q=0", None),
        (b"gzip;q=0, *", b"deflate"),
        (b"gzip;q=nonsense", None),
    ],
)
def test_the_reply_is_coded_as_the_client_accepts(accept: bytes | None, coding: bytes | None) -> None:
    assert choose(accept) == coding


def test_what_is_compressed_expands_again() -> None:
    assert gzip.decompress(compress(TEXT, b"gzip")) == TEXT
    assert zlib.decompress(compress(TEXT, b"deflate")) == TEXT
