"""Every explorable in a real browser: wide and narrow, light and dark, by keyboard and by hand."""

import math
import re

import pytest

from minivae import explorables
from tests.explorables import engines
from tests.explorables.make_golden import plain
from tests.explorables.make_pictures import FOLDER, picture
from tests.explorables.reference import REFERENCE
from tests.explorables.test_math import mismatches

pytestmark = pytest.mark.skipif(engines.why_no_browser() is not None, reason=engines.why_no_browser() or "")
NAMES = explorables.names()
SIZES = {"wide": (1280, 900), "narrow": (390, 844)}


@pytest.fixture(scope="module")
def chromium():
    with engines.browser() as running:
        yield running


def a_tab(chromium, size, scheme):
    width, height = SIZES[size]
    return chromium.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        has_touch=size == "narrow",
        offline=True,
        reduced_motion="reduce",
    ).new_page()


@pytest.fixture(scope="module", params=[(size, scheme) for size in SIZES for scheme in ("light", "dark")], ids="-".join)
def any_tab(chromium, request):
    yield (tab := a_tab(chromium, *request.param))
    tab.context.close()


@pytest.fixture(scope="module", params=SIZES)
def tab(chromium, request):
    yield (tab := a_tab(chromium, request.param, "light"))
    tab.context.close()


def opened(tab, name):
    """The page, with a list that fills with whatever the browser complains about."""
    complaints = []
    for event in ("console", "pageerror", "requestfailed"):
        tab.remove_listener(event, tab.__dict__.pop(event)) if event in tab.__dict__ else None
        tab.__dict__[event] = lambda what: complaints.append(getattr(what, "text", str(what)))
        tab.on(event, tab.__dict__[event])
    tab.goto("about:blank")  # a new window: Chromium captures no pointer in one whose document was written anew
    tab.set_content(explorables.page(name))
    tab.wait_for_function("globalThis.explorable")
    return complaints


def shown(tab):
    """The numbers on the page, with all their digits, and the settings that they belong to."""
    numbers = tab.evaluate(
        """() => Object.fromEntries(
            [...document.querySelectorAll('.numbers dd')].map((d) => [d.dataset.key, d.dataset.value]))"""
    )
    return {k: float(v.replace("Infinity", "inf")) for k, v in numbers.items()}, tab.evaluate("() => explorable.state")


def check_numbers(tab, name):
    """What the page shows is what Python computes for the same settings."""
    numbers, settings = shown(tab)
    truth = engines.numbers({k: plain(v) for k, v in REFERENCE[name](settings).items() if k in numbers})
    assert truth, "none of the numbers shown is known to the library"
    assert not mismatches([numbers], [{"settings": settings, "values": truth}])
    return numbers


@pytest.mark.parametrize("name", NAMES)
def test_opens_without_complaint_and_fits(any_tab, name):
    tab = any_tab
    complaints = opened(tab, name)
    check_numbers(tab, name)
    width = tab.viewport_size["width"]
    too_wide = tab.evaluate(
        """(width) => [...document.querySelectorAll('body *')]
            .filter((e) => e.tagName !== 'g' && !e.closest('[clip-path], clipPath'))
            .map((e) => [e, e.getBoundingClientRect()])
            .filter(([, b]) => b.width > 0 && (b.right > width + 1 || b.left < -1))
            .map(([e]) => e.outerHTML.slice(0, 120))""",
        width,
    )
    assert too_wide == []
    cut = tab.evaluate(
        """() => {
            const frame = document.querySelector('.picture svg').getBoundingClientRect();
            const outside = (b) => b.left < frame.left - 1 || b.right > frame.right + 1 || b.bottom > frame.bottom + 2;
            return [...document.querySelectorAll('.picture text')]
                .filter((t) => outside(t.getBoundingClientRect())).map((t) => t.textContent);
        }"""
    )
    assert cut == []
    assert complaints == []


@pytest.mark.parametrize("name", NAMES)
def test_every_control_answers_to_the_keyboard(tab, name):
    complaints = opened(tab, name)
    for selector in (".slider:not([hidden]) input", ".handle"):
        for control in tab.query_selector_all(selector):
            if not control.is_visible():
                continue
            assert control.get_attribute("aria-label")
            before, said = (
                tab.evaluate("() => JSON.stringify(explorable.state)"),
                control.get_attribute("aria-valuetext"),
            )
            for key in ("ArrowLeft", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "ArrowDown"):
                control.press(key)
                if tab.evaluate("() => JSON.stringify(explorable.state)") != before:
                    break
            else:
                pytest.fail(f"no arrow key moves {control.get_attribute('aria-label')!r}")
            assert control.get_attribute("aria-valuetext") != said
            check_numbers(tab, name)
    assert complaints == []


@pytest.mark.parametrize("name", NAMES)
def test_handles_can_be_dragged(tab, name):
    complaints = opened(tab, name)
    tab.evaluate("document.querySelector('.picture').scrollIntoView()")
    for k in range(tab.locator(".handle").count()):
        handle = tab.locator(".handle").nth(k)
        if not handle.is_visible():
            continue
        before = tab.evaluate("() => JSON.stringify(explorable.state)")
        box = handle.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        for dx, dy in ((-40, 25), (40, -25)):
            tab.mouse.move(x, y)
            tab.mouse.down()
            tab.mouse.move(x + dx, y + dy, steps=3)
            tab.mouse.up()
            if tab.evaluate("() => JSON.stringify(explorable.state)") != before:
                break
        else:
            pytest.fail(f"the mouse does not move {handle.get_attribute('aria-label')!r}")
        check_numbers(tab, name)
    assert complaints == []


@pytest.mark.parametrize("name", NAMES)
def test_buttons_and_choices(tab, name):
    complaints = opened(tab, name)
    for choice in tab.query_selector_all(".choice input"):
        choice.check()
        key, value = choice.get_attribute("name"), choice.get_attribute("value")
        assert tab.evaluate("(key) => explorable.state[key]", key) == value
        check_numbers(tab, name)
    for button in tab.query_selector_all(".buttons button"):
        button.click()
        check_numbers(tab, name)
    assert complaints == []


@pytest.fixture(scope="module")
def faults_of():
    """What axe finds wrong with a page for readers with a screen reader, a keyboard or weak eyes."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    return lambda page: [(f["id"], f["nodes"][0]["html"]) for f in axe.Axe().run(page).response["violations"]]


@pytest.mark.parametrize("name", NAMES)
def test_axe_finds_nothing(chromium, faults_of, name):
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.set_content(explorables.page(name))
    page.wait_for_function("globalThis.explorable")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert faults_of(page) == []
    page.close()


def test_axe_would_find_pale_words(chromium, faults_of):
    """Broken twin: the words of the page in a grey that cannot be read."""
    page = chromium.new_page()
    page.set_content(explorables.page(NAMES[0]).replace("--ink: #1b1f24", "--ink: #bbbbbb"))
    page.wait_for_function("globalThis.explorable")
    assert "color-contrast" in [fault for fault, _ in faults_of(page)]
    page.close()


def finger(tab, dx, dy):
    """A finger takes the first handle that is seen and moves it."""
    box = next(handle for handle in tab.locator(".handle").all() if handle.is_visible()).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = tab.context.new_cdp_session(tab)
    for kind, points in (
        ("touchStart", [{"x": x, "y": y}]),
        ("touchMove", [{"x": x + dx / 2, "y": y + dy / 2}]),
        ("touchMove", [{"x": x + dx, "y": y + dy}]),
        ("touchEnd", []),
    ):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


@pytest.mark.parametrize("name", NAMES)
def test_a_finger_drags_a_handle(chromium, name):
    tab = a_tab(chromium, "narrow", "light")
    opened(tab, name)
    tab.evaluate("document.querySelector('.picture').scrollIntoView()")
    before = tab.evaluate("() => JSON.stringify(explorable.state)")
    for dx in (60, -60):
        finger(tab, dx, 15)
        if tab.evaluate("() => JSON.stringify(explorable.state)") != before:
            break
    else:
        pytest.fail("a finger moves nothing")
    check_numbers(tab, name)
    tab.context.close()


def test_a_finger_moves_both_numbers_of_a_point(chromium):
    tab = a_tab(chromium, "narrow", "light")
    opened(tab, "masked-distance")
    tab.locator(".picture").scroll_into_view_if_needed()
    finger(tab, 80, 40)
    state = tab.evaluate("() => explorable.state")
    assert state["s"] > 12
    assert state["d"] < 16
    tab.context.close()


@pytest.mark.parametrize("name", NAMES)
def test_theorem_unfolds_in_print(tab, name):
    opened(tab, name)
    assert not tab.locator(".theorem p").first.is_visible()
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.locator(".theorem p").first.is_visible()
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not tab.locator(".theorem p").first.is_visible()


@pytest.mark.parametrize("name", NAMES)
def test_without_scripts_the_picture_and_the_words_are_there(chromium, name):
    page = chromium.new_context(java_script_enabled=False, offline=True).new_page()
    page.set_content(explorables.page(name))
    box = page.locator(".picture svg").bounding_box()
    assert min(box["width"], box["height"]) > 200
    assert page.locator(".question").is_visible()
    page.locator(".theorem summary").click()
    assert page.locator(".theorem p").first.is_visible()
    page.context.close()


def test_a_user_of_the_plane_is_moved_by_mouse_and_keyboard(tab):
    """Not only u: any other, and what it means for u is said."""
    opened(tab, "sharing-plane")
    tab.locator(".picture").scroll_into_view_if_needed()
    for other in tab.locator(".handle.bare:visible").all():
        box = other.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        if other.evaluate("(node, [x, y]) => node.contains(document.elementFromPoint(x, y))", [x, y]):
            break  # nobody lies upon this one
    number = int(other.get_attribute("aria-label").split()[1].rstrip(",")) - 1
    assert re.search(r"(helps|hurts) u", other.get_attribute("aria-valuetext"))
    where = f"() => explorable.state.moved[{number}]"
    assert tab.evaluate(where) is None
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.mouse.move(x + 60, y - 40, steps=3)
    tab.mouse.up()
    dragged = tab.evaluate(where)
    other.press("ArrowUp")
    moved = tab.evaluate(where)
    assert math.isclose(moved[1] - dragged[1], 0.1)
    assert moved[0] == dragged[0]
    check_numbers(tab, "sharing-plane")


def test_a_crowd_that_shrinks_more_than_its_clouds_is_no_change_of_unit(chromium):
    """Mean anchors at one place: with unequal curvature all three users come nearer than their views do."""
    tab = a_tab(chromium, "wide", "light")
    opened(tab, "anchors")
    for steep, lesson in ((2, "only the unit has changed"), (0.05, "the views are not really steadier")):
        tab.evaluate(f"() => explorable.update({{ lambda: 0.5, apart: 0, steep: {steep}, flat: 2 }})")
        numbers = check_numbers(tab, "anchors")
        assert numbers["relative"] == pytest.approx(1) if steep == 2 else numbers["relative"] > 1.2
        assert lesson in tab.inner_text(".reading")
    tab.context.close()


def test_a_dimension_has_collapsed_only_where_the_clouds_are_the_prior(tab):
    """Clouds on one another tell nothing about the user, but at 2 they are not the prior."""
    opened(tab, "beta")
    for change, collapsed in (("{beta: 100}", True), ("{beta: 0.5, tastes: Array(7).fill(2)}", False)):
        tab.evaluate(f"() => explorable.update({change})")
        said = tab.inner_text(".reading")
        assert "nothing about its user" in said
        assert ("collapsed" in said) == collapsed


@pytest.mark.parametrize("name", NAMES)
def test_prediction_gets_a_reply(tab, name):
    opened(tab, name)
    for button in tab.query_selector_all(".predict button"):
        button.click()
        assert tab.inner_text(".reply") == button.get_attribute("data-reply")


@pytest.mark.parametrize("name", NAMES)
def test_stored_picture_is_what_the_page_draws(chromium, name):
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    assert picture(page, name) == (FOLDER / name / "picture.svg").read_text(encoding="utf-8")
    page.close()


def test_theme_follows_the_page_around_it(chromium):
    page = chromium.new_page(color_scheme="light")
    page.set_content("<html data-theme='dark'><body></body></html>")
    page.evaluate(
        """(html) => { const f = document.createElement('iframe'); f.srcdoc = html; f.style.width = '700px';
            document.body.append(f); return new Promise((done) => (f.onload = done)); }""",
        explorables.page(NAMES[0]),
    )
    inner = page.frames[1]
    inner.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    dark = inner.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    inner.wait_for_function("document.documentElement.dataset.theme === 'light'")
    assert inner.evaluate("getComputedStyle(document.documentElement).backgroundColor") != dark
    height = page.evaluate("document.querySelector('iframe').getBoundingClientRect().height")
    assert math.isclose(height, inner.evaluate("document.body.getBoundingClientRect().height"), abs_tol=6)
