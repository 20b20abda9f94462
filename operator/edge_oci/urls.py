"""URLs from others: in a redirect, in a Location, as the realm of tokens."""

from urllib.parse import urljoin, urlsplit


class NoUrl(ValueError):
    """The text is not an HTTP URL; the message says why."""


def check_url(url: str) -> str:
    """Returns ``url`` if it is a usable HTTP URL. Raises NoUrl otherwise."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        fits = False
    if not (fits and url.isprintable()):
        raise NoUrl(f"{url[:200]!r} is no address that can be asked (https://HOST/PATH)")
    return url


def join_url(base: str, url: str) -> str:
    """Returns ``url``, which may be relative to ``base``, as an absolute one. Raises NoUrl."""
    try:
        return check_url(urljoin(base, url))
    except NoUrl:
        raise
    except ValueError:
        raise NoUrl(f"{url[:200]!r} is no address that can be asked (https://HOST/PATH)") from None
