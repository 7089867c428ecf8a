import pytest


def test_overlay_is_served_by_its_key(client, settings):
    folder = settings.cache / "overlays"
    folder.mkdir()
    (folder / "0123456789abcdef.png").write_bytes(b"picture")
    answer = client.get("/overlays/0123456789abcdef.png")
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, b"picture", "image/png")


@pytest.mark.parametrize("key", ["0123456789abcdee", "xyz", "..%2f..%2fspatialnet", "ABCDEF0123", "0" * 65])
def test_other_keys_are_not_found(client, key):
    assert client.get(f"/overlays/{key}.png").status_code == 404
