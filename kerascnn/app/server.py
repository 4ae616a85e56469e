"""The page over HTTP, for the browsers of this machine alone.

It listens on the loopback address. A page of somebody else's that is open in the same browser is
kept out, too: a request must name this host (else another name could be pointed at it, DNS
rebinding) and come from this page.
"""

from __future__ import annotations

import html
import socket
from collections.abc import Awaitable, Callable
from importlib import resources
from string import Template
from typing import Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kerascnn.app.eye import Eye
from kerascnn.errors import ArgumentError, KerascnnError
from kerascnn.words import printable

LOOPBACK = "127.0.0.1"
HOSTS = ["localhost", LOOPBACK, "[::1]"]  # whatever the port; a tunnel may have another
BYTES = 32 * 2**20  # of a photo, at most
FIRST = 8600  # port, or the next free one
TRIED = 20  # ports
WAITING = 8  # photos that may wait for the one that is looked at
KINDS = {"page.css": "text/css", "page.js": "text/javascript"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


Send = Callable[[Any], Awaitable[None]]


def application(eye: Eye) -> Starlette:
    """The page and what answers it.

    GET /       the page; its style and script beside it
    POST /look  a photo's bytes, to what `Eye.look` returns; or {"error": why not}
    """
    one = anyio.CapacityLimiter(1)

    async def look(request: Request) -> Response:
        if not _own(request):
            return _error(403, "Photos are taken from this page alone.")
        content = await _body(request)
        if content is None:
            return _error(413, f"The photo must have at most {BYTES // 2**20} MiB.")
        if one.statistics().tasks_waiting >= WAITING:
            return _error(503, "Too many photos wait. Try again in a moment.")
        try:
            found = await anyio.to_thread.run_sync(eye.look, content, limiter=one)
        except KerascnnError as error:
            return _error(400, printable(str(error)))
        return JSONResponse(found)

    routes = [
        Route("/", lambda request: _page(eye.title)),
        *(Route(f"/{name}", _file(name)) for name in KINDS),
        Route("/look", look, methods=["POST"]),
    ]
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False)
    return Starlette(routes=routes, middleware=[Middleware(_Headers), hosts])


class _Headers:
    """Adds `HEADERS` to every answer."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                more = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *more]
            await send(message)

        await self.app(scope, receive, sending)


def _own(request: Request) -> bool:
    """Whether a request comes from this page: browsers say where from, other programs nothing."""
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site", "same-origin")
    return origin in (None, f"http://{request.headers['host']}") and site == "same-origin"


async def _body(request: Request) -> bytes | None:
    """The body; None: it is too long, which is known before all of it has come."""
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > BYTES:
            return None
    return bytes(found)


def _error(status: int, words: str) -> JSONResponse:
    return JSONResponse({"error": words}, status)


def _page(title: str) -> Response:
    page = Template(_read("page.html")).substitute(title=html.escape(printable(title)))
    return Response(page, media_type="text/html")


def _file(name: str) -> Callable[[Request], Response]:
    return lambda request: Response(_read(name), media_type=KINDS[name])


def _read(name: str) -> str:
    return resources.files("kerascnn.app").joinpath(name).read_text(encoding="utf-8")


def listening(port: int | None) -> socket.socket:
    """A socket of the loopback address.

    Args:
        port: None: `FIRST` or one of the next; 0: any.

    Raises:
        ArgumentError: it is in use.
    """
    ports = range(FIRST, FIRST + TRIED) if port is None else [port]
    for number in ports:
        found = socket.socket()
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((LOOPBACK, number))
            found.listen()  # now: who is told the address may come before the first answer
        except OSError:
            found.close()
            continue
        return found
    where = f"Port {port} is" if port else f"Ports {FIRST} to {FIRST + TRIED - 1} are"
    raise ArgumentError(f"{where} in use. Choose another with --port.")


def serve(eye: Eye, door: socket.socket) -> None:
    """Answer until Ctrl-C."""
    config = uvicorn.Config(
        application(eye),
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        limit_concurrency=16,
    )
    uvicorn.Server(config).run(sockets=[door])
