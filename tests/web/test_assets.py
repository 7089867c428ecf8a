import hashlib
import re

import pytest

from spatialnet.web.addresses import MAP_SCRIPTS, MAP_STYLES, VENDOR


def test_vendored_files_are_the_published_ones():
    listed = dict(reversed(line.split("  ")) for line in (VENDOR / "checksums.sha256").read_text().splitlines())
    present = {p.relative_to(VENDOR).as_posix() for p in VENDOR.rglob("*") if p.is_file() and p.parent != VENDOR}
    assert set(listed) == present
    for name, digest in listed.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name


def test_every_package_has_its_licence():
    for folder in (path for path in VENDOR.iterdir() if path.is_dir()):
        assert list(folder.glob("LICENSE*")), folder.name


@pytest.mark.parametrize("address", [address for _, address in (*MAP_SCRIPTS, *MAP_STYLES)])
def test_map_scripts_are_served_and_load_nothing_from_elsewhere(client, address):
    answer = client.get(address)
    assert answer.status_code == 200
    assert re.search("javascript|css", answer.headers["content-type"])
    assert not re.search(r"""(?:url\(|import|src=)\s*["']?https?://""", answer.text)


@pytest.mark.parametrize("path", ["../server.py", "..%2fserver.py", "%2e%2e/server.py", "leaflet/../../server.py", ""])
def test_nothing_but_assets_is_served(client, path):
    assert client.get(f"/assets/{path}").status_code in (400, 404)
