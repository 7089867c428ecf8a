"""The labeller in a real browser, with a real server and a real database behind it."""

import re

import pytest

pytestmark = pytest.mark.browser
SAVED = ".lab .saved"


# From the key press (as the browser saw it) to the end of the frame that shows another picture.


def open_desk(browser, server, query: str = ""):
    page = browser.new_page()
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(server.address + query)
    page.locator(".lab .stage img").wait_for()
    return page


def saved(page) -> None:
    page.locator(f"{SAVED}[data-state=saved]").wait_for()


def where(page) -> str:
    return page.locator(".lab .where").inner_text()


def test_forty_fast_keys_are_stored_and_the_next_picture_is_there_at_once(browser, server):
    page = open_desk(browser, server)
    page.wait_for_timeout(500)
    for key in range(40):
        page.keyboard.press(str(key % 3 + 1), delay=0)
        page.wait_for_timeout(30)
    server.wait(lambda: len(server.values()) == 40)
    assert server.values() == {chip: chip % 3 for chip in range(40)}
    assert server.events() == 40
    # Streamlit hears of it and counts again, and the labeller stays where it was.
    page.get_by_text("stored 40 reported 40").wait_for()
    assert where(page).startswith("Chip 40")
    assert page.errors == []


def test_leaving_at_once_loses_and_doubles_nothing(browser, server):
    page = open_desk(browser, server)
    for key in range(20):
        page.keyboard.press(str(key % 3 + 1))
        page.wait_for_timeout(30)
    page.goto("about:blank")  # the last answers were not sent yet
    page = open_desk(browser, server)
    saved(page)
    server.wait(lambda: len(server.values()) == 20)
    assert server.values() == {chip: chip % 3 for chip in range(20)}
    assert server.events() == 20
    assert where(page).startswith("Chip 20")
    assert page.locator(".lab .decided button").count() == 10


def test_a_killed_server_loses_nothing(browser, server):
    page = open_desk(browser, server)
    page.keyboard.press("1")
    server.wait(lambda: server.events() == 1)
    server.kill()
    for _ in range(5):
        page.keyboard.press("2")
    page.locator(f"{SAVED}[data-state=failing]").wait_for()
    assert page.locator(SAVED).inner_text() == "5 waiting to be saved"
    assert "cannot be reached" in page.locator(SAVED).get_attribute("title")
    page.close()
    server.start()
    page = open_desk(browser, server)
    server.wait(lambda: len(server.values()) == 6, seconds=60)
    assert server.values() == {0: 0, **dict.fromkeys(range(1, 6), 1)}
    assert server.events() == 6
    saved(page)


def test_undo_before_and_after_it_was_sent(browser, server):
    page = open_desk(browser, server)
    page.keyboard.press("1")
    page.keyboard.press("z")  # not sent yet: nobody will ever hear of it
    page.keyboard.press("2")
    page.keyboard.press("3")
    server.wait(lambda: server.events() == 2)
    saved(page)
    page.keyboard.press("z")
    server.wait(lambda: server.events() == 3)
    assert server.values() == {0: 1}
    assert where(page).startswith("Chip 1 ")
    page.keyboard.press("z")
    server.wait(lambda: server.values() == {})
    assert where(page).startswith("Chip 0")


def test_undo_goes_on_after_a_reload(browser, server):
    page = open_desk(browser, server)
    page.keyboard.press("1")
    page.keyboard.press("2")
    saved(page)
    server.wait(lambda: server.events() == 2)
    page.reload()
    page.locator(".lab .decided button").first.wait_for()
    page.keyboard.press("z")
    server.wait(lambda: server.values() == {0: 0})
    assert where(page).startswith("Chip 1 ")


def test_two_tabs_are_told_of_each_other(browser, server):
    first, second = open_desk(browser, server), open_desk(browser, server, "?person=Bob")
    first.bring_to_front()
    first.keyboard.press("1")
    server.wait(lambda: server.events() == 1)
    second.bring_to_front()
    second.keyboard.press("2")
    note = second.locator(".lab .notes > div")
    note.wait_for()
    assert "Chip 0 was also labelled by Ann as forest; yours (water) is kept" in note.inner_text()
    assert server.values() == {0: 1}
    note.get_by_role("button", name="Take mine back").click()
    server.wait(lambda: server.values() == {0: 0})
    assert note.count() == 0


def test_several_classes_of_one_chip(browser, server):
    page = open_desk(browser, server, "?task=presence")
    for key in ("1", "2", "2", "3", "Shift+Digit2", "Enter"):
        page.keyboard.press(key)
    server.wait(lambda: server.values("presence") == {0: [1, None, 1]})
    page.keyboard.press("Enter")
    server.wait(lambda: server.values("presence") == {0: [1, None, 1], 1: [0, 0, 0]})
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.locator(".lab .classes button", has_text="road").get_by_text("present").wait_for()


def test_counts_are_typed(browser, server):
    page = open_desk(browser, server, "?task=ships")
    page.locator(".lab .classes input").first.fill("12")
    page.keyboard.press("Enter")
    server.wait(lambda: server.values("ships") == {0: [12, None]})
    assert where(page).startswith("Chip 1 ")


def test_skip_unsure_task_and_buttons(browser, server):
    page = open_desk(browser, server)
    page.keyboard.press("s")
    page.keyboard.press("u")
    page.locator(".lab .classes button").nth(2).click()
    server.wait(lambda: server.events() == 3)
    kinds = {chip: answer.kind for chip, answer in server.store.current("hills", "land_use").items()}
    assert kinds == {0: "skip", 1: "unsure", 2: "label"}
    page.keyboard.press("t")
    page.keyboard.press("t")
    page.locator(".lab .tasks button[aria-pressed=true]", has_text="Rural or urban").wait_for()
    page.keyboard.press("2")
    server.wait(lambda: server.values("rural_urban") == {3: 1})
    page.locator(".lab .decided button").nth(1).click()
    page.locator(".lab .tasks button[aria-pressed=true]", has_text="Land use").wait_for()
    assert where(page).startswith("Chip 2 ")


def test_the_model_is_silent_until_the_person_has_spoken(browser, server):
    page = open_desk(browser, server)
    model = page.locator(".lab .model")
    model.get_by_text("shown after yours").wait_for()
    assert "%" not in model.inner_text()
    page.keyboard.press("1")
    model.get_by_text("model differs").wait_for()
    assert "70 %" in model.inner_text()
    page.keyboard.press("m")
    model.get_by_text("the model").wait_for()
    page.keyboard.press("2")
    server.wait(lambda: server.events() == 2)
    runs = [server.store.history("hills", chip)[0].event.run for chip in (0, 1)]
    assert runs == [None, "run-1"]


def test_keys_mean_text_in_a_text_field_and_nothing_in_the_help(browser, server):
    page = open_desk(browser, server)
    page.get_by_label("Your name").click()
    page.keyboard.type("123")
    page.keyboard.press("Escape")
    page.locator(".lab .stage").click()
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    page.keyboard.press("1")
    page.keyboard.press("Escape")
    page.keyboard.press("2")
    server.wait(lambda: server.events() == 1)
    page.wait_for_timeout(700)
    assert server.values() == {0: 1}


def test_holding_b_shows_other_bands(browser, server):
    page = open_desk(browser, server)
    shown = lambda: re.search(r"bands=([0-9-]+)", page.locator(".lab .stage img").get_attribute("src"))[1]  # noqa: E731
    assert shown() == "2-1-0"
    page.keyboard.down("b")
    page.locator(".lab .stage img[src*='bands=3-2-1']").wait_for()
    page.keyboard.up("b")
    page.locator(".lab .stage img[src*='bands=2-1-0']").wait_for()


def test_coming_back_to_the_page_goes_on_where_it_was_left(browser, server):
    page = open_desk(browser, server)
    page.keyboard.press("1")
    page.keyboard.press("1")
    saved(page)
    toggle = page.get_by_text("Show the desk")
    toggle.click()
    page.locator(".lab").wait_for(state="detached")
    page.keyboard.press("1")
    toggle.click()
    page.locator(".lab .stage img").wait_for()
    assert where(page).startswith("Chip 2 ")
    page.keyboard.press("3")
    server.wait(lambda: server.values() == {0: 0, 1: 0, 2: 2})


def test_a_picture_that_cannot_be_loaded_is_never_labelled(browser, server):
    page = browser.new_page()
    page.route(re.compile("/chips/hills/1.png"), lambda route: route.abort())
    page.goto(server.address)
    page.locator(".lab .stage img").wait_for()
    page.keyboard.press("1")
    page.get_by_text("This picture could not be loaded.").wait_for()
    page.keyboard.press("1")
    page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    page.locator(".lab .stage img[src*='/chips/hills/1.png']").wait_for()
    page.keyboard.press("2")
    server.wait(lambda: server.values() == {0: 0, 1: 1})
    assert server.events() == 2


def test_names_of_classes_are_shown_as_they_are(browser, server):
    page = open_desk(browser, server)
    assert page.locator(".lab .classes .name").nth(2).inner_text() == "{{7*7}} <b>built</b> 'ש🌾"
    page.keyboard.press("3")
    assert "<b>built</b>" in page.locator(".lab .decided .answer").first.inner_text()
