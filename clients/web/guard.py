"""Keeps other sites out of the page's server, and the page inside its own."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clients.address import LOCAL_HOSTS

HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "img-src 'self' blob:",
            "media-src blob:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
"""What a browser may do with the page: load, ask and be shown by nothing but this server."""


def names_of(address: str) -> frozenset[str] | None:
    """Names that a server goes by which listens on `address`; None, for any, where others see it.

    Who opens a server to others gives it a name that cannot be known here.
    """
    local = address in ("localhost", "::1") or address.startswith("127.")
    return LOCAL_HOSTS | {address} if local else None


class Guard:
    """Refuses requests that another site's page makes a browser send, and sets HEADERS."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None) -> None:
        """`hosts` are the names that the server goes by, without a port; None for any."""
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers 403 to what comes from elsewhere, passes on the rest."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        fault = self._fault(Headers(scope=scope))
        if fault is None:
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": fault})
        else:
            refusal = JSONResponse({"error": fault, "kind": "cross_site"}, status_code=403)
            await refusal(scope, receive, _with_headers(send))

    def _fault(self, headers: Headers) -> str | None:
        host = headers.get("host", "")
        # A name that a stranger's DNS points here would pass for the same origin.
        if self._hosts is not None and _without_port(host) not in self._hosts:
            return f"This server does not go by the name {host!r}."
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return f"A page of {origin} may not ask this server."
        return None


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
        await send(message)

    return sending
