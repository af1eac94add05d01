"""`under10k serve`."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

from under10k.cli import names
from under10k.cli.output import complain, show
from under10k.cli.parsing import NetworkName, shown
from under10k.errors import UsageError, missing_library


def serve(
    weights: Annotated[Path, shown("WEIGHTS", complete=names.weights)] = Path("robust"),
    /,
    *,
    model: NetworkName = None,
    host: Annotated[str, shown("ADDRESS")] = "127.0.0.1",
    port: Annotated[int, shown("PORT")] = 8000,
    open: bool = True,
) -> None:
    """Serve a page to draw digits on, and an HTTP API.

    The API reads pictures sent by POST to /api/predict.

    Args:
        weights: A run folder, a weights file, or the name of bundled weights.
        model: Your own network, such as my_net.py:Net, where the file that the run names is gone or has changed.
        host: Address to listen on; 0.0.0.0 lets in everyone on the network.
        port: Port to listen on; 0 picks a free one.
        open: Open the page in your browser, if there is one.
    """
    try:
        from under10k.serve import create_app, listen, misread_finder, networks_beside, reader, run
    except ImportError as error:
        raise missing_library(error.name or "the server's library", "serve") from None
    from under10k.export import build_page, build_upload_page
    from under10k.runs import load_weights

    network, facts = load_weights(weights, model=model)
    networks, find_misread = None, misread_finder(network)
    try:
        page = build_page(network, facts, networks=True, gallery=find_misread is not None)
        networks = networks_beside(weights, network, facts)
    except UsageError as error:
        page = build_upload_page(network, facts)
        complain(f"no page to draw on, but one to send pictures from: {str(error).partition('. ')[0]}", "warning")
    app = create_app(page, reader(network), host=host, networks=networks, find_misread=find_misread)
    listener = listen(host, port)
    url = _announce(listener, host)
    if open and has_browser():
        webbrowser.open(url)
    run(app, listener)


def _announce(listener: socket.socket, host: str) -> str:
    """Say where the server is, and whether others can reach it; return the page's address."""
    address, port = listener.getsockname()[:2]
    own = ipaddress.ip_address(address)
    name = socket.gethostname() if own.is_unspecified else f"[{address}]" if own.version == 6 else address
    if not own.is_loopback:
        complain(f"listening on {host}: anyone who reaches this machine can use it", "warning")
    show(f"draw a digit: http://{name}:{port}/")
    show("stop with Ctrl-C")
    sys.stdout.flush()
    return f"http://{name}:{port}/"


def has_browser() -> bool:
    """Tell whether someone sits at a screen: elsewhere, a browser made of text might take over the terminal."""
    screen = sys.platform in ("darwin", "win32") or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()
    return sys.stdout.isatty() and bool(screen)
