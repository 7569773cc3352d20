"""Where a web server of the tests answers, and the certificate that it shows."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificate:
    """A certificate for localhost and 127.0.0.1, as files, and what a client has to trust to accept it."""

    certfile: Path
    keyfile: Path
    authority: Path

    def client_context(self, *protocols: str) -> ssl.SSLContext:
        """Make what a client connects with; `protocols` are offered by ALPN, such as "h2"."""
        context = ssl.create_default_context(cafile=str(self.authority))
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context


def make_certificate(folder: Path) -> Certificate:
    """Make an authority, and a certificate of it, in `folder`."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    made = Certificate(folder / "server.pem", folder / "server.key", folder / "authority.pem")
    issued.private_key_pem.write_to_path(str(made.keyfile))
    for number, part in enumerate(issued.cert_chain_pems):
        part.write_to_path(str(made.certfile), append=number > 0)
    authority.cert_pem.write_to_path(str(made.authority))
    return made


@dataclass(frozen=True)
class Place:
    """A front that answers: its host, its port for TLS, the one for plain HTTP (it redirects), its log files."""

    host: str
    tls_port: int
    plain_port: int
    logs: tuple[Path, ...] = ()

    @property
    def base_url(self) -> str:
        """URL of its root, without the last slash."""
        return f"https://{self.host}:{self.tls_port}"
