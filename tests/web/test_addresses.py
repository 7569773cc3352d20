"""Whose request it is: who comes by a front of this machine is told apart by what the front says, nobody else is."""

import pytest

from imgd.web.addresses import client_of
from imgd.web.reply import asker_of
from imgd.web.seam import Scope


def scope(peer: str, *forwarded: bytes) -> Scope:
    headers = [(b"host", b"imgd.test"), *((b"x-forwarded-for", each) for each in forwarded)]
    return {"type": "http", "client": (peer, 4711) if peer else None, "headers": headers}


@pytest.mark.parametrize(
    ("peer", "forwarded", "whose"),
    [
        ("", [], ""),
        ("", [b"192.0.2.7"], "192.0.2.7"),
        ("127.0.0.1", [b"2001:db8::7"], "2001:db8::7"),
        ("::1", [b"192.0.2.7"], "192.0.2.7"),
        ("", [b"198.51.100.1, 192.0.2.7"], "192.0.2.7"),
        ("", [b"198.51.100.1", b"192.0.2.7"], "192.0.2.7"),
        ("192.0.2.9", [b"192.0.2.7"], "192.0.2.9"),
        ("127.0.0.1", [b"unknown"], "127.0.0.1"),
        ("", [b"192.0.2.7,"], ""),
        ("", [b"\xff\xfe"], ""),
        ("", [b"1" * 4000], ""),
    ],
)
def test_the_client_is_who_the_front_says_it_is(peer: str, forwarded: list[bytes], whose: str) -> None:
    assert client_of(scope(peer, *forwarded)) == whose


def test_clients_behind_one_front_are_sessions_of_their_own() -> None:
    one, other = (asker_of(scope("", address)) for address in (b"192.0.2.7", b"192.0.2.8"))
    assert one.session != other.session
