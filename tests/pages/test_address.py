"""Widgets whose value stands in the address."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest


def _page() -> None:
    from spatialnet.ui import address

    address.type_text("Name", "key")
    address.switch("Only leaks", "leaks")


def test_an_address_that_comes_late_takes_no_click_back() -> None:
    """Someone quick clicks again before the browser has heard of the address that the last click made."""
    app = AppTest.from_function(_page).run()
    app.text_input[0].set_value("river").run()
    assert app.query_params["key"] in ("river", ["river"])
    app.query_params.pop("key")  # what the browser still believes
    app.toggle[0].set_value(True).run()
    assert app.text_input[0].value == "river"
    assert app.query_params["key"] in ("river", ["river"])
    assert app.query_params["leaks"] in ("1", ["1"])


def test_an_address_that_someone_else_wrote_is_taken_over() -> None:
    app = AppTest.from_function(_page).run()
    app.text_input[0].set_value("river").run()
    app.query_params["key"] = "forest"
    app.run()
    assert app.text_input[0].value == "forest"


def test_going_back_after_a_while_is_no_late_address(monkeypatch) -> None:
    monkeypatch.setattr("spatialnet.ui.address._LATE_SECONDS", 0.0)
    app = AppTest.from_function(_page).run()
    app.text_input[0].set_value("river").run()
    app.query_params.pop("key")
    app.run()
    assert app.text_input[0].value == ""
