"""TLS: the certificate that is shown, renewed while the daemon runs, and the handshake that begins a connection."""

import ssl
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import trio

from imgd.entry import rfc3339
from imgd.errors import ConfigError, NotNow

HTTP2: Final = "h2"
HTTP1: Final = "http/1.1"
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"  # Of TLS 1.2: forward secrecy and authenticated; 1.3 has no others.
_IN_TIME: Final = {9: "is not valid yet, or this machine's clock is wrong", 10: "has expired"}  # OpenSSL's codes.
_FLUSH_S: Final = 1.0
_DRAIN_BYTES: Final = 65_536
_WORDS: Final = b"This port speaks https, and what came was http.\n"
_SPOKE_HTTP: Final = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
    % (len(_WORDS), _WORDS)
)

SecureStream = trio.SSLStream[trio.SocketStream]


class NoHandshake(Exception):
    """The client did not finish its handshake; it has been told why, where that was possible."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A certificate with its key, as read from its files.

    der         the certificate itself.
    expires_at  in seconds since 1970.
    """

    context: ssl.SSLContext
    der: bytes
    expires_at: float


class Certificate:
    """What is shown to clients. Connections keep what they began with; new ones get what was loaded last."""

    def __init__(self, certfile: str, keyfile: str = "") -> None:
        """Load it.

        keyfile  "": the key stands in `certfile` as well.

        Raises  ConfigError: one line that says which file is wrong, and how.
        """
        self._loaded = load(certfile, keyfile)

    @property
    def context(self) -> ssl.SSLContext:
        """What a new connection is to be wrapped with."""
        return self._loaded.context

    @property
    def expires_at(self) -> float:
        """Tell when it expires, in seconds since 1970."""
        return self._loaded.expires_at

    def take(self, loaded: Loaded) -> str:
        """Show this one in handshakes from now on; tell in words what it is, "" if it is the same as before."""
        before, self._loaded = self._loaded, loaded
        if loaded.der == before.der:
            return ""
        return f"another certificate, which expires at {rfc3339(int(loaded.expires_at) * 10**9)}"


def load(certfile: str, keyfile: str = "") -> Loaded:
    """Read a certificate and its key, and see that they serve. May block.

    keyfile  "": the key stands in `certfile` as well.

    Raises  ConfigError: one line that says which file is wrong, and how; NotNow where it may be right a moment later,
            as while files are being renewed.
    """
    keyfile = keyfile or certfile
    for name, path in (("certfile", certfile), ("keyfile", keyfile)):
        try:
            with open(path, "rb") as file:
                file.read(1)
        except OSError as error:
            raise NotNow(f"{name}: cannot read {path}: {error.strerror}") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols([HTTP2, HTTP1])
    try:
        context.load_cert_chain(certfile, keyfile, password=_no_passphrase)
    except _NeedsPassphrase as error:
        raise ConfigError(f"keyfile: {keyfile} is locked with a passphrase, and nobody is there to type it") from error
    except ssl.SSLError as error:
        raise NotNow(_what_is_wrong(error, certfile, keyfile)) from error
    der, expires_at = _tried(context, certfile)
    return Loaded(context, der, expires_at)


class _NeedsPassphrase(Exception):
    pass


def _no_passphrase() -> str:
    raise _NeedsPassphrase


def _what_is_wrong(error: ssl.SSLError, certfile: str, keyfile: str) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"keyfile: the key in {keyfile} is not that of the certificate in {certfile}"
    probe = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        probe.load_verify_locations(certfile)
    except ssl.SSLError:
        return f"certfile: {certfile} holds no certificate in PEM form"
    if error.reason and error.reason.endswith(("_TOO_SMALL", "_TOO_WEAK")):
        return f"certfile: the certificate in {certfile} is too weak: {error.reason.replace('_', ' ').lower()}"
    return f"keyfile: {keyfile} holds no private key in PEM form that can be used"


def _tried(context: ssl.SSLContext, certfile: str) -> tuple[bytes, float]:
    """Shake hands with the certificate once, in memory, to see that it serves; tell what it is, and when it expires.

    Raises  NotNow.
    """
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN  # It is the anchor itself, whoever signed it.
    trusting.load_verify_locations(certfile)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(there, back, server_side=True)
    client = trusting.wrap_bio(back, there)
    try:
        _finish(client, server)
    except ssl.SSLCertVerificationError as error:
        text = _IN_TIME.get(error.verify_code, f"cannot be used: {error.verify_message}")
        raise NotNow(f"certfile: the certificate in {certfile} {text}") from error
    except ssl.SSLError as error:
        raise NotNow(f"certfile: the certificate in {certfile} cannot be used: {error.reason}") from error
    shown = client.getpeercert() or {}
    return client.getpeercert(binary_form=True) or b"", float(ssl.cert_time_to_seconds(str(shown["notAfter"])))


def _finish(client: ssl.SSLObject, server: ssl.SSLObject) -> None:
    waiting = [client, server]
    while waiting:
        for end in tuple(waiting):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(end)


class Handshakes:
    """The handshakes that are under way: each has a deadline, and the oldest gives way when there are too many.

    So a flood of clients that never finish costs a bounded number of connections, and never keeps a new client out.
    """

    def __init__(self, limit_s: float, handshakes_max: int) -> None:
        self._limit_s = limit_s
        self._handshakes_max = handshakes_max
        self._under_way: OrderedDict[int, trio.CancelScope] = OrderedDict()
        self._begun = 0

    def take(self, limit_s: float, handshakes_max: int) -> None:
        """Keep to other limits from now on."""
        self._limit_s, self._handshakes_max = limit_s, handshakes_max

    def __len__(self) -> int:
        """Tell how many there are."""
        return len(self._under_way)

    def give_way(self) -> None:
        """End the oldest, if there is one."""
        if self._under_way:
            self._under_way.popitem(last=False)[1].cancel()

    async def secure(self, stream: trio.SocketStream, certificate: Certificate) -> SecureStream:
        """Begin TLS with a client.

        Raises  NoHandshake; the stream is to be closed then, as when this is cancelled.
        """
        if len(self._under_way) >= self._handshakes_max:
            self.give_way()
        self._begun += 1
        number = self._begun
        secure = trio.SSLStream(stream, certificate.context, server_side=True)
        try:
            with trio.move_on_after(self._limit_s) as scope:
                self._under_way[number] = scope
                await secure.do_handshake()
                return secure
        except trio.BrokenResourceError as error:
            why = str(error.__cause__)
            await _tell(stream, _answer_to(secure, error))
        else:
            why = "not finished in time"
        finally:
            self._under_way.pop(number, None)
        vars(secure).clear()  # It holds itself, and would wait for the collector of cycles.
        raise NoHandshake(why)


def _answer_to(secure: SecureStream, error: trio.BrokenResourceError) -> bytes:
    """Find what to say: words to who speaks plain HTTP, else the alert that OpenSSL has made (Trio would drop it)."""
    cause = error.__cause__
    if isinstance(cause, ssl.SSLError) and cause.reason == "HTTP_REQUEST":
        return _SPOKE_HTTP
    return secure._outgoing.read()


async def _tell(stream: trio.SocketStream, data: bytes) -> None:
    """Say it, if it is taken at once; what still comes is read, because closing before that would throw it away."""
    if not data:
        return
    with trio.move_on_after(_FLUSH_S):
        try:
            await stream.send_all(data)
            await stream.send_eof()
            left_bytes = _DRAIN_BYTES
            while left_bytes > 0 and (more := await stream.receive_some()):
                left_bytes -= len(more)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
