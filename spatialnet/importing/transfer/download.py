"""Fetches files from public hosts: whole, checked, resumed where the host allows it, and from nowhere else.

Only https is spoken, also after a redirect, and no address inside the own network is ever asked.
"""

from __future__ import annotations

import hashlib
import http.client
import ipaddress
import json
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from spatialnet import __version__
from spatialnet.atomic import full_disk_said, replacing
from spatialnet.errors import DownloadFailed
from spatialnet.importing.importer import Progress, Remote
from spatialnet.importing.transfer.archives import need_disk

TIMEOUT_S = 30.0
"""Seconds without a byte after which a connection counts as lost."""

TRIES = 4
_CHUNK = 1 << 20
_LATER = {408, 425, 429, 500, 502, 503, 504}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")


@dataclass(frozen=True)
class Manners:
    """How hosts are asked; tests use others than people do.

    Attributes:
        schemes: what may be spoken.
        private: whether addresses inside the own network may be asked.
        tries: how often a lost connection is taken up again.
        pause_s: seconds before the second try; twice as long before each further one.
        timeout_s: seconds without a byte after which a connection counts as lost.
    """

    schemes: tuple[str, ...] = ("https",)
    private: bool = False
    tries: int = TRIES
    pause_s: float = 2.0
    timeout_s: float = TIMEOUT_S


class _LostConnectionError(Exception):
    """The host can be asked again."""


def fetch(
    remote: Remote,
    folder: Path,
    progress: Progress = lambda _share, _text: None,
    should_stop: Callable[[], bool] = lambda: False,
    *,
    manners: Manners | None = None,
) -> Path:
    """Fetch one file into a folder, or find it there already.

    What was fetched before a stop or a lost connection is kept as `<name>.part` and gone on with where the host honours
    a range request.

    Args:
        remote: the file.
        folder: where it is kept; made where needed.
        progress: called with a share in 0..1 and a text.
        should_stop: asked between parts; once it says True, the call ends with `DownloadFailed`.
        manners: for tests.

    Returns:
        The path of the whole file.

    Raises:
        DownloadFailed: the host cannot be reached, serves another file, or may not be asked.
        NotEnoughDisk: the disk is too small.
    """
    manners = manners or Manners()
    if not _NAME.fullmatch(remote.name):
        raise DownloadFailed(f"{remote.name[:80]!r} is no plain file name, so nothing is fetched.")
    host = _check_url(remote.url, manners)
    path, part = folder / remote.name, folder / f"{remote.name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _fetched(remote, host, path, part, manners, progress, should_stop)
    except OSError as error:
        raise DownloadFailed(
            f"{str(folder)[:200]!r} cannot be written ({error.strerror}). Choose another folder."
        ) from error


def _fetched(
    remote: Remote,
    host: str,
    path: Path,
    part: Path,
    manners: Manners,
    progress: Progress,
    should_stop: Callable[[], bool],
) -> Path:
    if path.is_file() and _is_expected(path, remote, progress):
        return path
    for attempt in range(manners.tries):
        if attempt:
            _wait(manners.pause_s * 2 ** (attempt - 1), should_stop)
        try:
            with full_disk_said(remote.name):
                _continue(remote, part, manners, progress, should_stop)
            break
        except _LostConnectionError as error:
            if attempt + 1 == manners.tries:
                raise DownloadFailed(
                    f"{host} cannot be reached, or the connection was lost ({str(error)[:120]}). Try again later, or fetch "
                    f"{remote.name} elsewhere and give its path."
                ) from error
    if not _is_expected(part, remote, progress):
        _forget(part)
        raise DownloadFailed(
            f"{host} served another {remote.name} than expected: its checksum or size differs. Nothing was kept; try again, "
            "or fetch it elsewhere and give its path."
        )
    part.replace(path)
    _forget(part)
    return path


def _continue(
    remote: Remote, part: Path, manners: Manners, progress: Progress, should_stop: Callable[[], bool]
) -> None:
    """Bring a partial file to its end with one request."""
    have, mark = _held(part, remote)
    headers = {"User-Agent": f"spatialnet/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-"} | ({"If-Range": mark} if mark else {})
    request = urllib.request.Request(remote.url, headers=headers)  # noqa: S310 (the scheme was checked)
    try:
        answer = _asked(request, manners)
    except urllib.error.HTTPError as error:  # the one that `_asked` lets pass: there is nothing after what is there
        whole = error.headers.get("Content-Range") == f"bytes */{have}"
        error.close()
        if whole:
            return
        _forget(part)
        raise _LostConnectionError("it refuses to go on where the download stopped") from error
    with answer:
        start = have if answer.status == http.client.PARTIAL_CONTENT and _starts_at(answer, have) else 0
        if answer.status == http.client.PARTIAL_CONTENT and start != have:
            _forget(part)
            raise _LostConnectionError("it sent another part of the file than was asked for")
        total = _total(answer, start)
        if remote.size and total and total != remote.size:
            raise DownloadFailed(
                f"{urlsplit(remote.url).hostname} serves {remote.name} with {total:,} bytes; {remote.size:,} are expected. "
                "Fetch it elsewhere and give its path."
            )
        need_disk(part.parent, max(total - start, 0), f"Downloading {remote.name}")
        _remember(part, remote, answer)
        _copy(answer, part, start, total or remote.size, f"downloading {remote.name}", progress, should_stop)
    if total and part.stat().st_size != total:
        raise _LostConnectionError(f"{part.stat().st_size:,} of {total:,} bytes came")


def _copy(
    answer: Any, part: Path, start: int, total: int, text: str, progress: Progress, should_stop: Callable[[], bool]
) -> None:
    done = start
    with part.open("r+b" if start else "wb") as file:
        file.seek(start)
        file.truncate()
        while True:
            if should_stop():
                raise DownloadFailed("The download was stopped. What was fetched is kept; start it again to go on.")
            try:
                data = answer.read(_CHUNK)
            except (OSError, http.client.HTTPException) as error:
                raise _LostConnectionError(str(error) or type(error).__name__) from error
            if not data:
                return
            done += len(data)
            if total and done > total:
                raise DownloadFailed(
                    f"The host sent more than the {total:,} bytes that it announced. Fetch the file elsewhere."
                )
            file.write(data)
            progress(done / total if total else 0.0, text)


def _held(part: Path, remote: Remote) -> tuple[int, str]:
    """How many bytes of the same file are there, and what the host called that version of it."""
    try:
        known = json.loads(_note(part).read_text(encoding="utf-8"))
        if known["url"] != remote.url or not (known["mark"] or remote.md5 or remote.sha256):
            return 0, ""
        return part.stat().st_size, str(known["mark"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, ""


def _remember(part: Path, remote: Remote, answer: Any) -> None:
    etag = answer.headers.get("ETag", "")
    mark = etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified", "")
    with replacing(_note(part)) as path:
        path.write_text(json.dumps({"url": remote.url, "mark": mark}), encoding="utf-8")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _starts_at(answer: Any, start: int) -> bool:
    return str(answer.headers.get("Content-Range", "")).startswith(f"bytes {start}-")


def _total(answer: Any, start: int) -> int:
    length = str(answer.headers.get("Content-Length", ""))
    return start + int(length) if length.isascii() and length.isdigit() else 0


def _is_expected(path: Path, remote: Remote, progress: Progress) -> bool:
    """Whether a file is the one that the publisher describes, as far as that is known."""
    size = path.stat().st_size
    if not size or (remote.size and size != remote.size):
        return False
    for kind, expected in (("sha256", remote.sha256), ("md5", remote.md5)):
        if not expected:
            continue
        digest = hashlib.new(kind, usedforsecurity=False)
        done = 0
        with path.open("rb") as file:
            while data := file.read(_CHUNK):
                digest.update(data)
                done += len(data)
                progress(done / size, f"checking {remote.name}")
        return digest.hexdigest() == expected.lower()
    return True


def _check_url(url: str, manners: Manners) -> str:
    """The host of an address that may be asked.

    Raises:
        DownloadFailed: it may not.
    """
    parts = urlsplit(url)
    if parts.scheme not in manners.schemes or not parts.hostname or parts.username:
        raise DownloadFailed(f"{url[:120]!r} is no {' or '.join(manners.schemes)} address, so it is not asked.")
    if not manners.private and _is_private(parts.hostname):
        raise DownloadFailed(f"{parts.hostname[:80]} is inside the own network, so it is not asked.")
    return parts.hostname


def _is_private(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower().rstrip(".").endswith("localhost")
    mapped = getattr(address, "ipv4_mapped", None)
    return not (mapped or address).is_global or address.is_multicast


def _opener(manners: Manners) -> urllib.request.OpenerDirector:
    class Redirects(urllib.request.HTTPRedirectHandler):
        max_redirections = 5

        def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
            _check_url(newurl, manners)
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    class Plain(http.client.HTTPConnection):
        def connect(self) -> None:
            _check_peer(self, manners)
            super().connect()

    class Secure(http.client.HTTPSConnection):
        def connect(self) -> None:
            _check_peer(self, manners)
            super().connect()

    class PlainHandler(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Plain, req)

    class SecureHandler(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Secure, req, context=ssl.create_default_context())

    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(), PlainHandler(), SecureHandler(), Redirects(),
        urllib.request.HTTPErrorProcessor(), urllib.request.HTTPDefaultErrorHandler(),
    ):  # fmt: skip
        opener.add_handler(handler)
    return opener


def _check_peer(connection: Any, manners: Manners) -> None:
    """Let a connection reach public addresses only; what a name resolves to is looked at where it is dialled."""
    if manners.private or connection._tunnel_host:
        return  # through a proxy, which may be near, the proxy dials

    def dial(address: tuple[str, int], timeout: Any = None, source_address: Any = None) -> socket.socket:
        error: OSError | None = None
        for *_, found in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
            if _is_private(str(found[0])):
                raise DownloadFailed(f"{address[0][:80]} leads inside the own network, so it is not asked.")
            try:
                return socket.create_connection((str(found[0]), int(found[1])), timeout, source_address)
            except OSError as failed:
                error = failed
        raise error or OSError("no address was found")

    connection._create_connection = dial


def _asked(request: urllib.request.Request, manners: Manners) -> Any:
    """The answer to a request; tells what may pass by itself from what will not."""
    try:
        return _opener(manners).open(request, timeout=manners.timeout_s)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and request.has_header("Range"):
            raise
        error.close()
        if error.code in _LATER:
            raise _LostConnectionError(f"it answers {error.code}") from error
        raise DownloadFailed(
            f"{request.host} answers {error.code} ({str(error.reason)[:60]}): the file is not there or not public. "
            "Fetch it elsewhere and give its path."
        ) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise DownloadFailed(
                f"The certificate of {request.host} is not valid ({reason.verify_message[:80]}), so nothing is fetched. "
                "Fetch the file elsewhere and give its path."
            ) from error
        raise _LostConnectionError(str(reason) or type(error).__name__) from error


def _wait(seconds: float, should_stop: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not should_stop():
        time.sleep(min(0.2, seconds))
