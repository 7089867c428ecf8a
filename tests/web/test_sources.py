from spatialnet.web.sources import Sources


def test_cache_renders_once_and_lets_the_least_used_go(settings):
    sources, rendered = Sources(settings, cache_bytes=10), []

    def show(name: str) -> bytes:
        def render() -> bytes:
            rendered.append(name)
            return b"12345"

        return sources.rendered((name,), render)

    for name in ("a", "b", "a", "c", "a", "b"):
        assert show(name) == b"12345"
    assert rendered == ["a", "b", "c", "b"]
