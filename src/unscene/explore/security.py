"""Who may ask the server: this page only, from this machine, or with the token.

    Host       names this server: a page of another site cannot reach it under its own name
               (DNS rebinding)
    Origin     of every request that changes something is this page; so is Sec-Fetch-Site of all
    token      needed when the server is bound to an address that others can reach

Answers carry a content security policy that lets the page load nothing from outside, and no header
that would let another page read them.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unscene.explore.answers import refuse

POLICY = "; ".join(
    [
        *("default-src 'self'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"),
        *("img-src 'self' data: blob:", "media-src 'self' blob:", "object-src 'none'"),
        *("frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"),
    ]
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_READS = ("GET", "HEAD")
_MOST = 1 << 20  # bytes of a request, unless it is an upload
_FORM = 1 << 14  # bytes that a form adds to the file in it
_ANY = ("0.0.0.0", "::", "")


@dataclass(frozen=True)
class Access:
    """Under which address the server is reached, and with which token.

    Attributes:
        host: the address it is bound to.
        port: of the server.
        token: None: nobody but this machine can reach it.
        upload_limit: largest upload in bytes.

    >>> Access.of("127.0.0.1", 8321).token is None
    True
    >>> len(Access.of("0.0.0.0", 8321).token)
    32
    """

    host: str = "127.0.0.1"
    port: int = 8321
    token: str | None = field(default=None, repr=False)
    upload_limit: int = 200 << 20

    @classmethod
    def of(cls, host: str, port: int, **rest: Any) -> Access:
        """Access for a server bound to `host`, with a new token if others can reach it."""
        token = None if is_loopback(host) else secrets.token_urlsafe(24)
        return cls(host, port, token, **rest)

    @property
    def cookie(self) -> str:
        """Name of the cookie: browsers share cookies between all ports of a machine."""
        return f"unscene_{self.port}"

    @property
    def address(self) -> str:
        """What to open in a browser, with the token."""
        host = socket.gethostname() if self.host in _ANY else self.host
        shown = f"[{host}]" if ":" in host else host
        token = "" if self.token is None else f"?{urlencode({'token': self.token})}"
        return f"http://{shown}:{self.port}/{token}"

    def knows_host(self, header: str) -> bool:
        """Whether the Host header names this server.

        The port may be another one, as through `ssh -L 9000:localhost:8321`. A numeric address
        cannot be rebound by anybody's name server, so all of them are right where the server is
        bound to all.

        >>> Access().knows_host("localhost:9000"), Access().knows_host("evil.example:8321")
        (True, False)
        """
        try:
            name = urlsplit(f"//{header}").hostname or ""
        except ValueError:
            return False
        if any(sign in header for sign in "/@?#\\") or not name:
            return False
        if is_loopback(name) or name == self.host.lower():
            return True
        if self.token is None:
            return False
        return name == socket.gethostname().lower() or (self.host in _ANY and _is_numeric(name))


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class TooLarge(HTTPException):
    """The body of a request has more bytes than it may have."""

    def __init__(self, most: int) -> None:
        sentence = f"the request has more than {most >> 20} MB"
        super().__init__(413, f"{sentence}; cut out the stretch that shows the motion")


class Guard:
    """Middleware that answers requests of others itself and adds HEADERS to all answers."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refused = self.check(scope)
        if refused is not None:
            await refused(scope, receive, with_headers)
            return
        await self.app(scope, self._limit(scope, receive), with_headers)

    def check(self, scope: Scope) -> Response | None:
        """The answer to a request that must not reach the server; None: it may."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self.access.knows_host(host):
            return refuse(
                403,
                f"Host {host[:80]!r} is not this server; open {self.access.address.split('?')[0]}",
            )
        if not _comes_from_here(scope, headers, host):
            return refuse(403, "requests of other sites' pages are not answered")
        if self.access.token is not None and (answer := self._check_token(scope, headers)):
            return answer
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 15 or int(length) > self._most(scope):
            return refuse(413, TooLarge(self._named(scope)).detail)
        return None

    def _check_token(self, scope: Scope, headers: Headers) -> Response | None:
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = next((value for name, value in query if name == "token"), None)
        if given is not None and self._is_token(given) and scope["method"] in _READS:
            rest = urlencode([(name, value) for name, value in query if name != "token"])
            # Not `//other.example`, which browsers read as an address of another machine.
            path = "/" + scope["path"].lstrip("/\\")
            answer = RedirectResponse(path + (f"?{rest}" if rest else ""), 303)
            cookie: MutableMapping[str, Any] = {"httponly": True, "samesite": "strict"}
            answer.set_cookie(self.access.cookie, given, **cookie)
            answer.headers["Cache-Control"] = "no-store"
            return answer
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            cookies = SimpleCookie()
        kept = cookies.get(self.access.cookie)
        if kept is not None and self._is_token(kept.value):
            return None
        sentence = (
            "this server needs its token: open the address that `unscene explore` printed, "
            "which ends in ?token=..."
        )
        wants_page = "text/html" in headers.get("accept", "")
        return HTMLResponse(f"<p>{sentence}</p>", 401) if wants_page else refuse(401, sentence)

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), (self.access.token or "").encode())

    def _named(self, scope: Scope) -> int:
        return self.access.upload_limit if scope["path"] == "/api/upload" else _MOST

    def _most(self, scope: Scope) -> int:
        return self._named(scope) + (_FORM if scope["path"] == "/api/upload" else 0)

    def _limit(self, scope: Scope, receive: Receive) -> Receive:
        """Count bytes while they arrive: a request need not say how many it has."""
        left = self._most(scope)

        async def limited() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise TooLarge(self._named(scope))
            return message

        return limited


def _comes_from_here(scope: Scope, headers: Headers, host: str) -> bool:
    """Whether a request comes from this page, or from no page at all."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if site not in (None, "same-origin", "none"):
        # A link to the page may stand anywhere; following it changes nothing.
        opens = headers.get("sec-fetch-mode") == "navigate" and scope["path"] == "/"
        framed = headers.get("sec-fetch-dest") not in (None, "document")
        if not opens or framed or scope["method"] not in _READS:
            return False
    if origin is None:  # a browser always says it where something is changed
        return True
    return origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")
