"""The gallery as a browser shows it: headless Chromium, as the system installs it, opens the page."""

import os
import shutil
from pathlib import Path

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
REQUIRED = "LEMMATA_REQUIRE_BROWSER"
LONG = "dice_whose_address_is_wider_than_a_phone"


@pytest.fixture(scope="module")
def browser():
    if BROWSER is None:
        if os.environ.get(REQUIRED):
            pytest.fail(f"no Chromium on PATH, but {REQUIRED} is set")
        pytest.skip("no Chromium on PATH")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def gallery(house):
    """Two subjects with a paper each; one claim of the second is refuted."""
    for room in ("simulations", "paper_figures"):
        (house.root / room / "games").mkdir()
        (house.root / room / "games" / "__init__.py").write_text("")
    toy = house.paper.read_text()
    (house.root / "simulations" / "games" / f"{LONG}.py").write_text(
        toy.replace("above=1.0", "above=3.0").replace('title="Toys"', 'title="Dice <b>& \\"co\\"</b>"')
    )
    shutil.copy(house.root / "paper_figures/toys/toy.py", house.root / f"paper_figures/games/{LONG}.py")
    answer = house.run("--jobs", "1", module="paper_figures")
    assert answer.returncode == 0, answer.stderr
    return house.root / "build" / "gallery" / "index.html"


def _opened(browser, page: Path, width: int, scheme: str):
    """The page, and everything that went wrong while it was opened."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    tab, troubles = context.new_page(), []
    tab.on("console", lambda message: troubles.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: troubles.append(str(error)))
    tab.on("requestfailed", lambda request: troubles.append(request.url))
    tab.on(
        "request", lambda request: None if request.url.startswith(("file:", "data:")) else troubles.append(request.url)
    )
    tab.goto(page.as_uri(), wait_until="load")
    return tab, troubles


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_the_page_opens_without_errors_and_shows_every_picture(browser, gallery, width, scheme):
    tab, troubles = _opened(browser, gallery, width, scheme)
    widths = tab.eval_on_selector_all("img", "images => images.map(image => image.complete ? image.naturalWidth : 0)")
    assert len(widths) == 2
    assert min(widths) > 500
    assert 'Dice <b>& "co"</b>' in tab.locator("h2").all_inner_texts()  # a title is text, not HTML
    for link in tab.eval_on_selector_all("a[href$='.pdf'], a[href$='.png']", "links => links.map(link => link.href)"):
        assert Path(link.removeprefix("file://")).is_file()
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert troubles == []
    tab.context.close()


def test_the_filters_show_what_they_say(browser, gallery):
    tab, troubles = _opened(browser, gallery, 1200, "light")

    def shown():
        return {
            "papers": tab.locator("section[data-paper]:visible").count(),
            "summary": tab.locator("#summary tbody tr:visible").count(),
            "verdicts": sorted(tab.locator("tr[data-verdict]:visible .verdict").all_inner_texts()),
            "count": tab.locator("#shown").inner_text(),
        }

    everything = {
        "papers": 2,
        "summary": 2,
        "verdicts": ["refuted", "supported", "supported", "supported"],
        "count": "2 papers",
    }
    assert shown() == everything
    tab.select_option("#verdict", "refuted")
    assert shown() == {"papers": 1, "summary": 1, "verdicts": ["refuted"], "count": "1 paper"}
    tab.select_option("#subject", "toys")
    assert shown() == {"papers": 0, "summary": 0, "verdicts": [], "count": "0 papers"}
    tab.select_option("#verdict", "")
    assert shown() == {"papers": 1, "summary": 1, "verdicts": ["supported", "supported"], "count": "1 paper"}
    tab.select_option("#subject", "")
    assert shown() == everything
    assert troubles == []
    tab.context.close()
