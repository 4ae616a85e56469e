"""A page in a real browser: it fits a phone and a screen, and asks for nothing."""

import pytest

from kerascnn import reports

WIDTHS = (390, 1200)


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_overflows_and_nothing_is_loaded(striped_run, tmp_path, browser, width):
    page = reports.write(striped_run.path, tmp_path / "report.html", explain=1, echo=None)
    asked, said = [], []
    tab = browser.new_page(viewport={"width": width, "height": 800})
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: said.append(message.text))
    tab.goto(page.as_uri())
    tab.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    wide = """[...document.querySelectorAll("main *")].filter(
        (one) => !one.closest(".wide, pre") && one.getBoundingClientRect().right > innerWidth + 1
    ).map((one) => one.outerHTML.slice(0, 80))"""
    assert tab.evaluate(wide) == []
    broken = "[...document.images].filter((image) => !image.naturalWidth).length"
    assert tab.evaluate(broken) == 0
    assert tab.evaluate("document.images.length") > 5
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
    assert said == []  # the policy would be heard of here
    # The style is applied: its digest is the policy's.
    assert tab.evaluate("getComputedStyle(document.body).maxWidth") == "1152px"
    tab.close()
