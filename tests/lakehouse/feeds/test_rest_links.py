"""Links of answers lead where RFC 3986 says, to the same server by whatever name, and to no other."""

import pytest
from api import Api, feed
from httpx import URL

from lakehouse.feeds.http import _within
from lakehouse.formats.pages import envelopes

ALL = [f"r{number}" for number in range(45)]


@pytest.mark.parametrize(
    ("asked", "link", "leads"),
    [
        ("http://lab/v1/results", "?page=2", "/v1/results?page=2"),
        ("http://lab/v1/results", "results?page=2", "/v1/results?page=2"),
        ("http://lab/v1/results/", "?page=2", "/v1/results/?page=2"),
        ("http://lab/v1/results", "/v2?page=2#there", "/v2?page=2"),
        ("http://lab/v1/results", "http://LAB:80/v1?page=2", "/v1?page=2"),
        ("http://lab:80/v1/results", "http://lab/v1?page=2", "/v1?page=2"),
        ("https://lab/v1/results", "HTTPS://lab:443/v1?page=2", "/v1?page=2"),
        ("http://lab:8080/v1", "http://me:secret@lab:8080?page=2", "/?page=2"),
        ("https://lab/v1", "http://lab/v1?page=2", "http://lab/v1?page=2"),
        ("https://lab/v1", "https://lab:444/v1?page=2", "https://lab:444/v1?page=2"),
        ("https://lab/v1", "//elsewhere/v1?page=2", "https://elsewhere/v1?page=2"),
    ],
)
def test_where_a_link_leads(asked: str, link: str, leads: str) -> None:
    assert _within(asked, link) == leads


@pytest.mark.parametrize("link", ["?{query}", "link?{query}", "http://me:hunter2@LOCALHOST:{port}/link?{{query}}"])
def test_links_are_followed_however_they_are_written(lab: Api, link: str) -> None:
    here = URL(lab.url)
    lab.laboratory.link = link if link[0] != "h" else link.format(port=here.port)
    assert lab.landing.pull(feed("link"), str(here.copy_with(host="localhost")), most_bytes=1) is None
    assert lab.landing.ids == ALL
    kept = b"".join(extract.data for extract in lab.landing.extracts)
    assert b"hunter2" not in kept
    assert all(page.next is None or page.next.startswith("/link?") for page in envelopes(kept))


@pytest.mark.parametrize("link", ["http://lab:notaport/?{query}", "//[::1/?{query}"])
def test_a_link_that_is_no_address_is_told(lab: Api, link: str) -> None:
    lab.laboratory.link = link
    assert "an answer's link is no address" in str(lab.landing.pull(feed("link"), lab.url))


def test_a_link_may_hold_whom_it_is_about_and_is_not_told(lab: Api) -> None:
    lab.laboratory.faults = dict.fromkeys(range(2, 9), "500")
    lab.laboratory.link = "/link?patient=1015&{query}"
    told = str(lab.landing.pull(feed("link"), lab.url))
    assert "lab: a page that its answers lead to answers 500, 5 times" in told
    assert "1015" not in told
