"""How a feed of an API is let in, and that its secret stays out of what is kept and told."""

import logging
from base64 import b64encode
from urllib.parse import quote

import pytest
from api import Api, feed, serving
from httpx import URL

from assets.pilot.laboratory import SECRET, Laboratory
from lakehouse.errors import SourceError
from lakehouse.feeds.auth import ApiKey, Auth, Bearer, ClientCredentials
from lakehouse.feeds.registry import Registry

WAYS: dict[str, Auth] = {"key": ApiKey(), "bearer": Bearer(), "oauth": ClientCredentials("/oauth/token")}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_of_being_let_in(lab: Api, way: str) -> None:
    lab.laboratory.login = way
    assert lab.landing.pull(feed(auth=WAYS[way]), lab.url) is None
    assert len(lab.landing.ids) == 45
    kept = b"".join(extract.data for extract in lab.landing.extracts)
    assert SECRET.encode() not in kept
    assert b"token-1" not in kept


@pytest.mark.parametrize("way", WAYS)
def test_a_wrong_secret_is_told_once_and_not_repeated(lab: Api, way: str) -> None:
    lab.laboratory.login = way
    wrong = str(URL(lab.url).copy_with(userinfo=b"lakehouse:a-wrong-one"))
    error = lab.landing.pull(feed(auth=WAYS[way]), wrong)
    assert "refuses these credentials" in str(error)
    assert "LAKEHOUSE_SYSTEM_LAB" in str(error)
    assert "a-wrong-one" not in str(error)
    assert len(lab.laboratory.asked) <= 1


def test_an_address_without_a_secret_is_told(lab: Api) -> None:
    bare = str(URL(lab.url).copy_with(username=None, password=None))
    assert "holds no secret" in str(lab.landing.pull(feed(auth=Bearer()), bare))
    assert "must be an http" in str(lab.landing.pull(feed(), "ftp://x"))
    assert lab.landing.pull(feed(), bare) is None


def test_a_token_is_kept_until_it_ends(lab: Api) -> None:
    lab.laboratory.login = "oauth"
    lab.landing.pull(feed(auth=ClientCredentials()), lab.url)
    assert len(lab.laboratory.asked) == 5
    assert lab.laboratory.tokens == ["token-1"]


def test_a_token_that_ends_at_once_is_fetched_anew_each_time(lab: Api) -> None:
    lab.laboratory.login, lab.laboratory.token_seconds = "oauth", 0.000_001
    assert lab.landing.pull(feed(auth=ClientCredentials()), lab.url) is None
    assert len(lab.laboratory.tokens) == 5


def test_a_token_that_is_withdrawn_is_fetched_anew_once(lab: Api) -> None:
    lab.laboratory.login = "oauth"
    lab.laboratory.faults = {3: "401"}
    assert lab.landing.pull(feed(auth=ClientCredentials()), lab.url) is None
    assert lab.laboratory.tokens == ["token-1", "token-2"]
    assert len(lab.landing.ids) == 45
    asked = len(lab.laboratory.asked)
    lab.landing.extracts.clear()
    lab.laboratory.always = "401"
    lab.laboratory.faults = {}
    assert "refuses these credentials" in str(lab.landing.pull(feed(auth=ClientCredentials()), lab.url))
    assert len(lab.laboratory.asked) == asked + 2


def test_a_client_may_tell_itself_in_the_header_and_ask_for_a_scope(lab: Api) -> None:
    lab.laboratory.login = "oauth"
    asking = ClientCredentials(scope="results:read visits:read", parameters={"audience": "https://lab"}, basic=True)
    assert lab.landing.pull(feed(auth=asking), lab.url) is None
    assert len(lab.landing.ids) == 45
    [(form, header)] = lab.laboratory.logins
    assert form == {
        "grant_type": "client_credentials",
        "scope": "results:read visits:read",
        "audience": "https://lab",
    }
    # Form-encoded before they are put together: a colon in the secret is none between the two.
    assert header == f"Basic {b64encode(b'lakehouse:a-secret%3A+of%2Fthe+%40lab').decode()}"
    wrong = str(URL(lab.url).copy_with(userinfo=b"lakehouse:a-wrong-one"))
    lab.landing.extracts.clear()
    assert "refuses these credentials" in str(lab.landing.pull(feed(auth=asking), wrong))


def test_tokens_may_be_given_out_by_another_server(lab: Api) -> None:
    lab.laboratory.login = "oauth"
    gate = Laboratory()
    with serving(gate) as url:
        address = str(URL(url).copy_with(username=None, password=None, path="/oauth/token"))
        assert lab.landing.pull(feed(auth=ClientCredentials(address)), lab.url) is not None
        lab.laboratory.tokens = gate.tokens
        assert lab.landing.pull(feed(auth=ClientCredentials(address)), lab.url) is None
        gate_asked = len(gate.logins)
    assert len(lab.landing.ids) == 45
    assert (gate_asked > 0, lab.laboratory.logins) == (True, [])
    error = str(lab.landing.pull(feed(auth=ClientCredentials(address)), lab.url))
    assert f"{address} cannot be reached" in error
    assert SECRET not in error


@pytest.mark.parametrize("address", ["oauth/token", "ftp://lab/token", "https://", "https://me:secret@lab/token"])
def test_a_place_of_tokens_that_cannot_be_is_refused(address: str) -> None:
    with pytest.raises(SourceError, match="token_url"):
        ClientCredentials(address)


def test_a_token_path_that_gives_no_tokens_is_told(lab: Api) -> None:
    assert "no such path" in str(lab.landing.pull(feed(auth=ClientCredentials("/nowhere")), lab.url))
    assert lab.laboratory.asked == []


def test_no_secret_is_logged_however_much_is(lab: Api, caplog: pytest.LogCaptureFixture) -> None:
    for talks in ("httpx", "httpcore"):
        logging.getLogger(talks).setLevel(logging.NOTSET)
    caplog.set_level(logging.DEBUG)
    lab.laboratory.login = "oauth"
    assert lab.landing.pull(feed(auth=WAYS["oauth"]), lab.url) is None
    for talks in ("httpx", "httpcore"):
        logging.getLogger(talks).setLevel(logging.NOTSET)
    with Registry(lab.url, "lab") as registry:
        assert registry.schema(1) is None
    assert quote(SECRET, safe="") in lab.url
    assert not [secret for secret in (SECRET, quote(SECRET, safe=""), "token-1") if secret in caplog.text]
