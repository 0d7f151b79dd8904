"""An addon for mitmproxy that does what a credential broker does at the least: it sets a header for one host.

It is as short as such addons usually are, and that is the point of the report that is made with it. It looks at the
host that mitmproxy connects to (`request.host`), not at what the agent claims in `Host` (`request.pretty_host`).
"""

import os

from mitmproxy import ctx, http

HOST = "api.anthropic.com"
KEY = os.environ["ADVERSARIAL_KEY"]


def running() -> None:
    """Upstreams are verified with the suite's CA bundle."""
    ctx.options.ssl_verify_upstream_trusted_ca = os.environ["ADVERSARIAL_CA_BUNDLE"]


def requestheaders(flow: http.HTTPFlow) -> None:
    """Set before the body is read, so that it also holds for requests that mitmproxy streams."""
    if flow.request.host == HOST:
        flow.request.headers["x-api-key"] = KEY
