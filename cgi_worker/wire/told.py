"""What the steps of a picture said, as the header that tells it: the same from the daemon and from a CGI's worker."""

import json
from typing import Final

LEVELS_BYTES_MAX: Final = 2_048  # A header; browsers and proxies refuse long ones.


def levels_text(facts: str) -> str:
    """Write the steps' facts as a header's value, in ASCII; nothing if they are none, or too long for one."""
    if not facts or facts == "{}":
        return ""
    text = facts if facts.isascii() and facts.isprintable() else json.dumps(json.loads(facts), separators=(",", ":"))
    return text if len(text) <= LEVELS_BYTES_MAX else ""
