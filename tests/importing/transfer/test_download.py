"""Files come whole or not at all, from a real server on this machine; hosts differ in what they honour."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from spatialnet.errors import DownloadFailed
from spatialnet.importing.importer import Remote
from spatialnet.importing.transfer import download
from spatialnet.importing.transfer.download import Manners, fetch

BODY = bytes(range(256)) * 20_000  # 5 MB: several parts
SHA = hashlib.sha256(BODY).hexdigest()
MD5 = hashlib.md5(BODY).hexdigest()  # noqa: S324
HERE = Manners(("http",), private=True, tries=3, pause_s=0.01, timeout_s=2)


class Host(ThreadingHTTPServer):
    """A host whose habits tests choose; `asked` holds every request's path and Range, `others` bodies by path."""

    daemon_threads = True

    def handle_error(self, *_):
        pass  # a client that left

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.ranges, self.cut, self.status, self.silent, self.etag = [], True, [], [], False, '"v1"'
        self.body, self.location, self.others = BODY, "", {}

    def url(self, name="data.bin"):
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        host = self.server
        wanted = self.headers.get("Range")
        host.asked.append((self.path, wanted))
        if host.status:
            self.send_response(host.status.pop(0))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if host.location and self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", host.location)
            self.end_headers()
            return
        body, start = host.others.get(self.path, host.body), 0
        matches = self.headers.get("If-Range", host.etag) == host.etag
        if wanted and host.ranges and matches:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            self.send_response(416 if start >= len(body) else 206)
            self.send_header(
                "Content-Range", f"bytes {f'{start}-{len(body) - 1}' if start < len(body) else '*'}/{len(body)}"
            )
        else:
            self.send_response(200)
        if host.etag:
            self.send_header("ETag", host.etag)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = host.cut.pop(0) if host.cut else len(body)
        self.wfile.write(body[start : max(end, start)])
        if host.silent:
            threading.Event().wait(3)
        self.close_connection = True


@pytest.fixture
def host(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Host()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def remote(host, **more):
    return Remote(host.url(), "data.bin", **more)


def files(folder):
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("more", [{}, {"sha256": SHA}, {"md5": MD5, "size": len(BODY)}, {"sha256": SHA.upper()}])
def test_fetched_whole(host, tmp_path, more):
    shares = []
    path = fetch(remote(host, **more), tmp_path / "new", lambda share, _text: shares.append(share), manners=HERE)
    assert path.read_bytes() == BODY
    assert files(tmp_path / "new") == ["data.bin"]
    assert max(shares) == 1
    assert fetch(remote(host, **more), tmp_path / "new", manners=HERE) == path
    assert len(host.asked) == 1


def test_a_lost_connection_is_taken_up_where_it_ended(host, tmp_path):
    host.cut = [2_000_000, 3_000_000]
    assert fetch(remote(host, sha256=SHA), tmp_path, manners=HERE).read_bytes() == BODY
    assert [wanted for _, wanted in host.asked] == [None, "bytes=2000000-", "bytes=3000000-"]


def test_after_a_stop_the_next_call_goes_on(host, tmp_path):
    with pytest.raises(DownloadFailed, match="stopped"):
        fetch(remote(host), tmp_path, should_stop=lambda: files_over(tmp_path, 1_000_000), manners=HERE)
    assert files(tmp_path) == ["data.bin.part", "data.bin.part.json"]
    held = (tmp_path / "data.bin.part").stat().st_size
    assert 0 < held < len(BODY)
    assert fetch(remote(host), tmp_path, manners=HERE).read_bytes() == BODY
    assert host.asked[-1][1] == f"bytes={held}-"


def files_over(folder, size):
    part = folder / "data.bin.part"
    return part.exists() and part.stat().st_size >= size


def test_a_host_that_ignores_ranges_is_begun_anew(host, tmp_path):
    host.ranges, host.cut = False, [2_000_000]
    assert fetch(remote(host, sha256=SHA), tmp_path, manners=HERE).read_bytes() == BODY
    assert [wanted for _, wanted in host.asked] == [None, "bytes=2000000-"]


def test_a_file_that_changed_in_between_is_begun_anew(host, tmp_path):
    host.cut = [2_000_000]
    with pytest.raises(DownloadFailed, match="connection was lost"):
        fetch(remote(host), tmp_path, manners=Manners(("http",), private=True, tries=1))
    host.etag, host.body = '"v2"', BODY[::-1]
    assert fetch(remote(host), tmp_path, manners=HERE).read_bytes() == BODY[::-1]


def test_without_mark_and_checksum_nothing_is_joined(host, tmp_path):
    host.etag, host.cut = "", [2_000_000]
    assert fetch(remote(host), tmp_path, manners=HERE).read_bytes() == BODY
    assert [wanted for _, wanted in host.asked] == [None, None]


def test_a_part_that_is_whole_already_is_taken(host, tmp_path):
    host.cut = [len(BODY) - 1]
    with pytest.raises(DownloadFailed):
        fetch(remote(host, sha256=SHA), tmp_path, manners=Manners(("http",), private=True, tries=1))
    (tmp_path / "data.bin.part").write_bytes(BODY)
    assert fetch(remote(host, sha256=SHA), tmp_path, manners=HERE).read_bytes() == BODY


@pytest.mark.parametrize("more", [{"sha256": "0" * 64}, {"md5": "0" * 32}])
def test_another_checksum_is_refused_and_nothing_kept(host, tmp_path, more):
    with pytest.raises(DownloadFailed, match=r"another data\.bin than expected"):
        fetch(remote(host, **more), tmp_path, manners=HERE)
    assert files(tmp_path) == []


def test_another_size_is_refused_before_it_is_fetched(host, tmp_path):
    with pytest.raises(DownloadFailed, match=r"5,120,000 bytes; 7 are expected"):
        fetch(remote(host, size=7), tmp_path, manners=HERE)


def test_an_empty_file_is_refused(host, tmp_path):
    host.body = b""
    with pytest.raises(DownloadFailed, match=r"another data\.bin than expected"):
        fetch(remote(host), tmp_path, manners=HERE)


def test_a_file_that_is_there_but_another_is_fetched_again(host, tmp_path):
    (tmp_path / "data.bin").write_bytes(b"old")
    assert fetch(remote(host, sha256=SHA), tmp_path, manners=HERE).read_bytes() == BODY


def test_a_busy_host_is_asked_again_and_a_missing_file_is_not(host, tmp_path):
    host.status = [503, 429]
    assert fetch(remote(host), tmp_path, manners=HERE).read_bytes() == BODY
    host.asked.clear()
    host.status = [404]
    with pytest.raises(DownloadFailed, match=r"answers 404 .*: the file is not there"):
        fetch(Remote(host.url(), "b.bin"), tmp_path, manners=HERE)
    assert len(host.asked) == 1


def test_a_silent_host_is_given_up(host, tmp_path):
    host.silent, host.cut = True, [100]
    with pytest.raises(DownloadFailed, match="connection was lost"):
        fetch(remote(host), tmp_path, manners=Manners(("http",), private=True, tries=1, timeout_s=0.3))


def test_offline_one_sentence_names_host_and_way_out(host, tmp_path):
    with pytest.raises(DownloadFailed, match=r"127.0.0.1 cannot be reached.*give its path"):
        fetch(Remote("http://127.0.0.1:9/data.bin", "data.bin"), tmp_path, manners=HERE)
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    "url",
    ["http://example.org/a", "ftp://example.org/a", "file:///etc/passwd", "https://", "https://me:x@example.org/a"],
)
def test_only_https_is_spoken(tmp_path, url):
    with pytest.raises(DownloadFailed, match="is no https address"):
        fetch(Remote(url, "a"), tmp_path)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "10.0.0.8", "169.254.169.254", "[::1]", "[fd00::1]", "[::ffff:10.0.0.1]", "localhost", "192.168.1.1"],
)
def test_no_address_inside_the_own_network_is_asked(tmp_path, host):
    with pytest.raises(DownloadFailed, match="inside the own network"):
        fetch(Remote(f"https://{host}/a", "a"), tmp_path)


def test_a_name_that_leads_inside_is_not_dialled(host, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_check_url", lambda *_: "somewhere")
    with pytest.raises(DownloadFailed, match="leads inside the own network"):
        fetch(remote(host), tmp_path, manners=Manners(("http",), tries=1))
    assert host.asked == []


def test_redirects_are_followed_but_not_to_other_schemes(host, tmp_path):
    host.location = host.url("data.bin")
    moved = Remote(host.url("moved"), "data.bin", sha256=SHA)
    assert fetch(moved, tmp_path, manners=HERE).read_bytes() == BODY
    host.location = "ftp://example.org/data.bin"
    with pytest.raises(DownloadFailed, match="is no http address"):
        fetch(Remote(host.url("moved"), "c.bin"), tmp_path, manners=HERE)


def test_redirects_without_end_are_left(host, tmp_path):
    host.location = host.url("moved")
    with pytest.raises(DownloadFailed, match="answers 302"):
        fetch(Remote(host.url("moved"), "data.bin"), tmp_path, manners=HERE)


@pytest.mark.parametrize("name", ["../a", "a/b", "", ".hidden", "a b"])
def test_names_that_are_paths_are_refused(tmp_path, name):
    with pytest.raises(DownloadFailed, match="no plain file name"):
        fetch(Remote("https://example.org/a", name), tmp_path)


def test_a_folder_that_cannot_be_made_is_said(host, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DownloadFailed, match="cannot be written"):
        fetch(remote(host), tmp_path / "file" / "below", manners=HERE)
