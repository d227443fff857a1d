"""TLS settings for outgoing requests."""

from __future__ import annotations

from functools import cache
from ssl import SSLContext

import httpx


@cache
def tls_context() -> SSLContext:
    """Return the context for all clients of this process; reading the certificates takes longer than a request."""
    return httpx.create_ssl_context()
