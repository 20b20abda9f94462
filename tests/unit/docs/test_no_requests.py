"""The check that the built site requests nothing from another host."""

import pytest

from docs.site.no_requests import requests


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", '<script src="https://cdn.example/x.js"></script>'),
        ("a.html", '<link rel="stylesheet" href="//fonts.example/css">'),
        ("a.html", '<link rel="preconnect" href="https://fonts.example">'),
        ("a.html", '<img src="https://img.example/badge.svg">'),
        ("a.html", '<p style="background: url(https://img.example/a.png)">'),
        ("a.html", "<style>@import 'https://fonts.example/css';</style>"),
        ("a.css", "@font-face { src: url('https://fonts.example/a.woff2') }"),
        ("a.svg", '<svg><image href="https://img.example/a.png"/></svg>'),
    ],
)
def test_what_a_browser_would_request_is_found(name: str, text: str) -> None:
    assert len(requests(name, text)) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", '<a href="https://elsewhere.example/">a link that somebody may follow</a>'),
        ("a.html", '<script src="../_static/x.js"></script><img src="life.svg">'),
        ("a.html", '<link rel="canonical" href="https://docs.example/">'),
        ("a.css", "a { background: url(data:image/svg+xml;utf8,<svg/>) }"),
        ("a.js", "// https://elsewhere.example"),
    ],
)
def test_what_it_would_not_request_is_left_alone(name: str, text: str) -> None:
    assert requests(name, text) == []
