"""Addresses that somebody else names: in a redirect, in a Location, as the realm of tokens."""

from urllib.parse import urljoin, urlsplit


class NoUrl(ValueError):
    """A text is no address over HTTP; the message says so."""


def check_url(url: str) -> str:
    """Returns ``url`` if it is one over HTTP that can be asked, else raises NoUrl."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        fits = False
    if not (fits and url.isprintable()):
        raise NoUrl(f"{url[:200]!r} is no address that can be asked (https://HOST/PATH)")
    return url


def join_url(base: str, url: str) -> str:
    """Returns ``url``, which may be relative to ``base``, as a whole one. Raises NoUrl."""
    try:
        return check_url(urljoin(base, url))
    except NoUrl:
        raise
    except ValueError:
        raise NoUrl(f"{url[:200]!r} is no address that can be asked (https://HOST/PATH)") from None
