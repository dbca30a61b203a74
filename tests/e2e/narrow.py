"""An nginx that somebody else set up in front of a gateway: below a path that it strips, with nginx's own limit of a body
(1 MiB), and with no PATCH.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.lab import wait_until

PATH = "/relay"
_CONF = """
user root; daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        client_max_body_size {limit};
        location {path}/ {{
            {refusal}
            proxy_pass http://127.0.0.1:{behind}/;
            proxy_http_version 1.1;
            proxy_request_buffering {buffering};
            proxy_buffering off;
            proxy_next_upstream off;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
        }}
    }}
}}
"""
#: How it refuses PATCH, by the status that the client sees.
REFUSALS = {
    0: "",
    403: "limit_except GET POST DELETE OPTIONS PUT { deny all; }",
    405: "if ($request_method = PATCH) { return 405; }",
    501: "if ($request_method = PATCH) { return 501; }",
}


@contextlib.contextmanager
def narrow(
    folder: Path,
    *,
    behind: int,
    port: int,
    path: str = PATH,
    refuses: int = 0,
    limit: str = "1m",
    buffering: bool = False,
) -> Iterator[str]:
    """It runs; its address with the path.

    :param behind: the gateway's port.
    :param limit: of a body; `0`: none.
    :param buffering: a body is passed on when all of it is there, as nginx does by itself.
    :param refuses: status of a PATCH; 0: it lets them through.
    """
    folder.mkdir()
    conf = _CONF.format(
        folder=folder,
        behind=behind,
        port=port,
        path=path,
        refusal=REFUSALS[refuses],
        limit=limit,
        buffering="on" if buffering else "off",
    )
    (folder / "nginx.conf").write_text(conf)
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert program, "nginx is missing: tools/debian-packages.txt names it"
    command = [program, "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", str(folder / "error.log")]
    with (folder / "out").open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as proxy:
        try:
            wait_until("nginx listens", lambda: _listens(port))
            yield f"http://127.0.0.1:{port}{path}"
        finally:
            proxy.terminate()


def requests_in(folder: Path) -> list[tuple[str, int]]:
    """Method and status of every request that it has answered."""
    found = []
    for line in (folder / "access.log").read_text().splitlines():
        _, request, rest = line.split('"', 2)
        found.append((request.split(" ", 1)[0], int(rest.split()[0])))
    return found


def _listens(port: int) -> bool:
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0
