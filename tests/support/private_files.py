"""A web server with a password: ``private_files.py ADDRESS FOLDER`` prints its port and serves until stdin ends.

The user is ``me``, the password ``right``. It is the protected source of a test.
"""

import base64
import sys
import threading
from http.server import SimpleHTTPRequestHandler as Files
from http.server import ThreadingHTTPServer

EXPECTED = "Basic " + base64.b64encode(b"me:right").decode()


class PrivateFiles(Files):
    """A server of files that demands a login."""

    def do_GET(self) -> None:
        """Sends the file to a client with the login, 401 to others."""
        if self.headers.get("Authorization") == EXPECTED:
            super().do_GET()
        else:
            self.send_error(401)

    def log_message(self, *_: object) -> None:
        """Logs nothing."""


def main() -> None:
    """Serves a folder until stdin ends, and prints the port."""
    address, folder = sys.argv[1:3]
    server = ThreadingHTTPServer((address, 0), lambda *args: PrivateFiles(*args, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
