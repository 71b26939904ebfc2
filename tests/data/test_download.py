import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from genus.data.download import Remote, download
from genus.errors import DataError

BODY = bytes(range(256)) * 1000
SHA = hashlib.sha256(BODY).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/whole")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = {"/other": BODY[::-1], "/long": BODY + b"more"}.get(self.path, BODY)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: 100_000 if self.path == "/cut" else None])
        self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def remote(*urls, sha=SHA, size=256_000):
    return Remote("file.bin", urls, sha, size)


@pytest.mark.parametrize("path", ["/whole", "/moved"])
def test_a_file_arrives_whole_with_progress(server, tmp_path, path):
    seen = []
    target = download(remote(server + path), tmp_path, lambda *args: seen.append(args))
    assert target.read_bytes() == BODY
    assert list(tmp_path.iterdir()) == [target]
    assert seen[-1] == ("file.bin", len(BODY), len(BODY))
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/other", "has sha256 .*, expected " + SHA),
        ("/cut", "cut off after 100,000 of 256,000 bytes|the transfer broke off"),
        ("/long", "is longer than the 256,000 bytes expected"),
        ("/missing", "the server answers 404 Not Found"),
    ],
)
def test_whatever_goes_wrong_nothing_is_left_and_the_old_file_stays(server, tmp_path, path, reason):
    with pytest.raises(DataError, match=reason) as error:
        download(remote(server + path), tmp_path)
    assert "cannot download file.bin" in str(error.value)
    assert f"put it into {tmp_path}, or set GENUS_DATA (--data-root)" in str(error.value)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file.bin").write_bytes(b"old")
    with pytest.raises(DataError):
        download(remote(server + path), tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == b"old"


def test_the_next_address_is_tried(server, tmp_path):
    urls = (server + "/missing", server + "/other", server + "/whole")
    assert download(remote(*urls), tmp_path).read_bytes() == BODY


def test_no_server_and_no_web_address(tmp_path):
    with pytest.raises(DataError) as error:
        download(remote("http://127.0.0.1:9/x", "file:///etc/passwd"), tmp_path)
    assert "cannot be reached" in str(error.value)
    assert "is not an http or https address" in str(error.value)


def test_a_file_of_unknown_length_and_hash(server, tmp_path):
    target = download(remote(server + "/whole", sha=None, size=None), tmp_path)
    assert target.read_bytes() == BODY
