"""The certificate that is shown: what is wrong with it is told in one line, and it is renewed while the daemon runs."""

import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from imgd.errors import ConfigError, NotNow
from imgd.web.tls import Certificate as Shown
from imgd.web.tls import Handshakes, NoHandshake, load
from tests.fronts.place import Certificate, make_certificate

LIMIT_S = 30.0  # Against hanging.
Secure = trio.SSLStream[trio.SocketStream]


def test_a_certificate_is_renewed_while_it_is_shown(tmp_path: Path) -> None:
    made = make_certificate(tmp_path)
    files = (str(made.certfile), str(made.keyfile))
    shown = Shown(*files)
    first, before = shown.expires_at, shown.context
    assert first > time.time()
    authority = trustme.CA()
    new = authority.issue_cert("localhost")
    made.certfile.write_bytes(new.cert_chain_pems[0].bytes())
    with pytest.raises(NotNow, match=r"keyfile: the key in .* is not that of the certificate"):
        load(*files)  # Half renewed.
    made.keyfile.write_bytes(new.private_key_pem.bytes())
    loaded = load(*files)
    assert shown.context is before, "what is read is not shown yet"
    assert shown.take(loaded).startswith("another certificate, which expires at ")
    assert shown.context is not before
    assert shown.take(load(*files)) == "", "the same one"


async def test_a_renewed_certificate_is_shown_to_new_clients(tmp_path: Path) -> None:
    """In one process: what SIGHUP makes of it is tested with the other things that it reloads."""
    made = make_certificate(tmp_path)
    shown = Shown(str(made.certfile), str(made.keyfile))
    authority = trustme.CA()
    new = authority.issue_cert("localhost")
    trusting_new = ssl.create_default_context()
    authority.configure_trust(trusting_new)
    async with shaken(shown, made.client_context()) as (client, server):
        made.certfile.write_bytes(new.cert_chain_pems[0].bytes())
        made.keyfile.write_bytes(new.private_key_pem.bytes())
        shown.take(load(str(made.certfile), str(made.keyfile)))
        async with shaken(shown, trusting_new):
            pass
        with pytest.raises(NoHandshake):
            async with shaken(shown, made.client_context()):
                pass
        await client.send_all(b"still here")
        assert await server.receive_some() == b"still here"


@asynccontextmanager
async def shaken(shown: Shown, context: ssl.SSLContext) -> AsyncIterator[tuple[Secure, Secure]]:
    """Connect two ends; raise NoHandshake as the server does."""
    ours, theirs = map(trio.SocketStream, trio.socket.socketpair())
    client = trio.SSLStream(theirs, context, server_hostname="localhost")
    ends: list[Secure] = []
    failed: list[NoHandshake] = []

    async def serve() -> None:
        try:
            ends.append(await Handshakes(LIMIT_S, 10).secure(ours, shown))
        except NoHandshake as error:
            failed.append(error)

    async with ours, theirs:
        with trio.fail_after(LIMIT_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve)
                try:
                    await client.do_handshake()
                except trio.BrokenResourceError:
                    await theirs.aclose()
        if failed:
            raise failed[0]
        yield client, ends[0]


WRONG = {
    "missing": ("certfile", "cannot read"),
    "a folder": ("certfile", "Is a directory"),
    "no PEM": ("certfile", "no certificate"),
    "no key": ("keyfile", "no private key"),
    "another's key": ("keyfile", "not that of the certificate"),
    "locked": ("keyfile", "passphrase"),
    "expired": ("certfile", "has expired"),
    "not yet": ("certfile", "not valid yet"),
}


def wrong(folder: Path, what: str) -> tuple[Path, Path]:
    """Make files that are wrong in one way."""
    made, other = make_certificate(folder), make_certificate(_below(folder, "other"))
    odd = folder / "odd"
    match what:
        case "missing":
            return folder / "none.pem", made.keyfile
        case "a folder":
            return folder, made.keyfile
        case "no PEM":
            odd.write_bytes(b"\x30\x82garbage")
            return odd, made.keyfile
        case "no key":
            return made.certfile, made.certfile
        case "another's key":
            return made.certfile, other.keyfile
        case "locked":
            _openssl("pkey", "-in", str(made.keyfile), "-aes256", "-passout", "pass:secret", "-out", str(odd))
            return made.certfile, odd
        case _:
            _self_signed(made.keyfile, odd, -10 if what == "expired" else 10)
            return odd, made.keyfile


def _below(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    return made


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def _self_signed(keyfile: Path, certfile: Path, from_days: int) -> None:
    """Make a certificate that is valid for a day, from so many days on."""
    key = serialization.load_pem_private_key(keyfile.read_bytes(), None)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    begins = datetime.now(UTC) + timedelta(days=from_days)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())  # type: ignore[arg-type]
        .serial_number(1).not_valid_before(begins).not_valid_after(begins + timedelta(days=1))
        .sign(key, hashes.SHA256())  # type: ignore[arg-type]
    )  # fmt: skip
    certfile.write_bytes(made.public_bytes(serialization.Encoding.PEM))


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_certificate_is_told_in_one_line(tmp_path: Path, what: str) -> None:
    certfile, keyfile = wrong(tmp_path, what)
    setting, words = WRONG[what]
    with pytest.raises(ConfigError) as refused:
        Shown(str(certfile), str(keyfile))
    text = str(refused.value)
    assert text.startswith(f"{setting}: ")
    assert words in text
    assert "\n" not in text


def both_in_one(folder: Path) -> Certificate:
    """A certificate with its key in the same file."""
    made = make_certificate(folder)
    one = folder / "one.pem"
    one.write_bytes(made.keyfile.read_bytes() + made.certfile.read_bytes())
    return Certificate(one, Path(), made.authority)


def test_the_key_may_stand_in_the_same_file(tmp_path: Path) -> None:
    assert Shown(str(both_in_one(tmp_path).certfile)).expires_at > time.time()
