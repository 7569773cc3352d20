"""Whom our own clients (`imgd watch`, `imgd stat`) trust over https: the system's authorities, or one that is named."""

import ssl

from imgd.errors import ConfigError


def client_context(cafile: str = "") -> ssl.SSLContext:
    """Make what a client connects with.

    cafile  authorities (PEM) to trust in place of the system's, such as an observatory's own; "": the system's.

    Raises  ConfigError.
    """
    if not cafile:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=cafile)
    except ssl.SSLError as error:
        raise ConfigError(f"cafile: {cafile} holds no certificate in PEM form") from error
    except OSError as error:
        raise ConfigError(f"cafile: cannot read {cafile}: {error.strerror}") from error


def tls_trouble(error: BaseException | None) -> str:
    """Tell in plain words what went wrong with TLS; "" if nothing of that kind is behind this error."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {error.verify_message} (--cafile names an authority to trust)"
        if isinstance(error, ssl.SSLError):
            return f"no TLS with it: {(error.reason or str(error)).replace('_', ' ').lower()}"
        error = error.__cause__ or error.__context__
    return ""
