"""Runs the server: a port, an address to open, and an end that leaves nothing behind."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import sys
import threading
import time
import webbrowser
from pathlib import Path

from unscene.errors import UnsceneError
from unscene.explore.app import Explorer, create_app
from unscene.explore.cache import make_temporary_folder
from unscene.explore.opened import OpenIndex
from unscene.explore.security import Access

_TRIED = 50  # ports after a used one that are tried, to name a free one
_FIRST_SCREEN = 1.5  # seconds that the page has to show its first moments
_PATIENCE = 2  # seconds that open requests have to end


def explore(
    place: str | os.PathLike[str],
    *,
    port: int = 8321,
    host: str = "127.0.0.1",
    browser: bool = True,
) -> None:
    """Show an index in the browser until Ctrl-C.

    Args:
        place: the index: a folder, or an address that LanceDB takes.
        port: to serve at; 0: any free one.
        host: address to bind to; others than those of this machine alone need a token.
        browser: open the page.

    Raises:
        UnsceneError: there is no index there, or the port is in use.
    """
    import uvicorn

    text = os.fspath(place)
    check_place(text)
    listener = bind(host, port)
    access = Access.of(host, listener.getsockname()[1])
    folder = make_temporary_folder()

    def open_index():  # type: ignore[no-untyped-def]  # it is imported beside the server
        from unscene.search.index import Index

        index = Index.open(text)
        index.windows  # noqa: B018 - read now
        return index

    explorer = Explorer.of(open_index, access, folder, name=Path(text).name or text)
    config = uvicorn.Config(
        create_app(explorer),
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=_PATIENCE,
    )
    server = uvicorn.Server(config)
    explorer.opening.when_open(prepare_searches)
    explorer.opening.when_failed(lambda: setattr(server, "should_exit", True))
    print(f"{text}: {access.address} (Ctrl-C ends it)", flush=True)
    if browser:
        threading.Thread(target=webbrowser.open, args=(access.address,), daemon=True).start()
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        print("ended; labels are in the index", file=sys.stderr)
    finally:
        explorer.close()
        listener.close()
        shutil.rmtree(folder, ignore_errors=True)
    if (error := explorer.opening.error) is not None:
        raise error


def prepare_searches(opened: OpenIndex) -> None:
    """Import torch and load the encoder before somebody searches, but after the first screen."""
    time.sleep(_FIRST_SCREEN)
    opened.index.encoder  # noqa: B018 - kept by the index


def check_place(place: str) -> None:
    """Raise UnsceneError before anything is imported where there can be no index."""
    if "://" not in place and not Path(place).expanduser().is_dir():
        what = "is a file, not an index" if Path(place).is_file() else "does not exist"
        raise UnsceneError(f"{place}: {what}; make one: unscene index DATA --out INDEX")


def bind(host: str, port: int) -> socket.socket:
    """Bind a socket, so that nobody else can take the port in between.

    Raises:
        UnsceneError: the port is in use (it names a free one) or not allowed, or this machine has
            no such address.
    """
    if not 0 <= port <= 65535:
        raise UnsceneError(f"--port {port}: must be from 0 to 65535")
    try:
        return _bind(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            free = _find_free(host, port)
            remedy = f"; --port {free} is free" if free else "; name another --port"
            raise UnsceneError(
                f"--port {port}: is in use, perhaps by another `unscene explore`{remedy}"
            ) from error
        if error.errno == errno.EACCES:
            raise UnsceneError(
                f"--port {port}: needs rights that you do not have; use one above 1023"
            ) from error
        raise UnsceneError(
            f"--host {host}: this machine has no such address ({error.strerror or error}); "
            "127.0.0.1 is for this machine alone, 0.0.0.0 for all that can reach it"
        ) from error


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere it would share the port with another program
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except BaseException:
        listener.close()
        raise
    return listener


def _find_free(host: str, port: int) -> int | None:
    for other in range(port + 1, min(port + _TRIED, 65536)):
        try:
            _bind(host, other).close()
        except OSError:
            continue
        return other
    return None
