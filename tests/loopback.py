"""A web server on loopback that misbehaves as told."""

import contextlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """Serves `files` (path -> bytes).

    drops: bytes after which the next connections are cut, one entry each; ranges: honours Range; lies: extra bytes
    that Content-Length promises; kind: content type; status: answered instead of the file, per path; requests: what
    came in, as (path, Range).
    """

    def __init__(self, files):
        self.files = dict(files)
        self.drops, self.ranges, self.lies, self.kind, self.status = [], True, 0, "application/octet-stream", {}
        self.requests = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def answer(self, handler):
        wanted = handler.headers.get("Range")
        self.requests.append((handler.path, wanted))
        body = self.files.get(handler.path)
        status = self.status.get(handler.path, 404 if body is None else 200)
        handler.close_connection = True
        if status >= 400:
            return handler.send_error(status)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        if start >= len(body) > 0:
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(body) + self.lies}")
            handler.send_header("Content-Length", "0")
            return handler.end_headers()
        handler.send_response(206 if start else status)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body) + self.lies}")
        handler.send_header("Content-Type", self.kind)
        handler.send_header("Content-Length", str(len(body) - start + self.lies))
        handler.end_headers()
        end = start + self.drops.pop(0) if self.drops else len(body)
        handler.wfile.write(body[start:end])
        with contextlib.suppress(OSError):
            handler.connection.shutdown(socket.SHUT_RDWR)
        return None


@contextlib.contextmanager
def serve(files):
    """Run a `Server` for as long as the block lasts."""
    server = Server(files)
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()
        thread.join()
