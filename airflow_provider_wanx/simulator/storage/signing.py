"""Signatures of the object store: on result URLs and upload policies."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets


class Signer:
    """One key pair of the object store, new with every simulator."""

    def __init__(self) -> None:
        self.key_id = "LTAI5t" + secrets.token_hex(9)
        self._secret = secrets.token_bytes(30)

    def sign(self, text: str) -> str:
        """Return the signature of a text."""
        return base64.b64encode(hmac.new(self._secret, text.encode(), hashlib.sha1).digest()).decode()

    def accepts(self, *, key_id: str, text: str, signature: str) -> bool:
        """Tell whether a signature of a text is this key's."""
        return hmac.compare_digest(key_id.encode(), self.key_id.encode()) and hmac.compare_digest(
            signature.encode(), self.sign(text).encode()
        )
