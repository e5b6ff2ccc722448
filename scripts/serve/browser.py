"""Drive every pane of the page of `rnn serve` in Chromium, and assert elements, text and values."""

import argparse
import math
import shutil
import tempfile
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# Texts of server-sent events, as a browser's own EventSource receives them.
EVENT_SOURCE = """
const done = arguments[0];
const source = new EventSource("/v1/completions?model=lstm-shakespeare&prompt=ROMEO:&max_tokens=40&seed=3");
let text = "";
source.onmessage = ({ data }) => {
  if (data === "[DONE]") { source.close(); done(text); return; }
  text += JSON.parse(data).choices[0].text;
};
source.onerror = () => { source.close(); done("error"); };
"""


class Page:
    """The page in a browser."""

    def __init__(self, browser: webdriver.Chrome) -> None:
        self.browser = browser
        self.wait = WebDriverWait(browser, 60)

    def one(self, selector: str):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def until(self, condition) -> None:
        self.wait.until(lambda _: condition())

    def fill(self, selector: str, text: str) -> None:
        script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'));"
        self.browser.execute_script(script, self.one(selector), text)

    def choose(self, model: str) -> None:
        Select(self.one("#model")).select_by_value(model)

    def submit(self, pane: str) -> None:
        self.one(f"#{pane} button.primary").click()

    def no_problem(self) -> None:
        problem = self.one("#problem").get_property("textContent")
        assert problem == "", problem


def write(page: Page) -> None:
    page.choose("lstm-shakespeare")
    page.fill("#prompt", "<b>ROMEO:</b>\n")
    page.fill("#max_tokens", "200")
    page.fill("#seed", "3")
    page.submit("write")
    page.until(lambda: page.one("#write-status").text.startswith("200 tokens") and not page.one("#stop").is_enabled())
    page.no_problem()
    # Text is shown as text.
    assert page.all("#text b") == []
    assert page.one("#text .prompt").get_property("textContent") == "<b>ROMEO:</b>\n"
    tokens = page.all("#text .token")
    assert len(tokens) == 200
    style = "return getComputedStyle(arguments[0]).getPropertyValue('--p')"
    shares = [float(page.browser.execute_script(style, token)) for token in tokens[:20]]
    assert all(0 < share <= 1 for share in shares), shares
    # By keyboard to the third token, and from there on with another.
    tokens[0].send_keys(Keys.ARROW_RIGHT)
    page.browser.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert page.browser.switch_to.active_element.get_attribute("data-at") == "2"
    page.browser.switch_to.active_element.send_keys(Keys.ENTER)
    rows = page.all("#alternatives .bar")
    assert len(rows) == 10
    percents = [float(row.find_element(By.TAG_NAME, "span").text.rstrip("%")) for row in rows]
    assert percents == sorted(percents, reverse=True) and sum(percents) <= 100.5, percents
    kept = "".join(token.get_property("textContent") for token in tokens[:2])
    rows[1].click()
    page.until(lambda: page.one("#write-status").text.startswith("200 tokens") and not page.one("#stop").is_enabled())
    assert page.one("#text .prompt").get_property("textContent").startswith("<b>ROMEO:</b>\n" + kept)


def inspect(page: Page) -> None:
    page.one("#tab-inspect").click()
    text = "He said: once more unto the breach.\nAnd so they went.\n"
    page.fill("#inspect-text", text)
    page.submit("inspect")
    page.until(lambda: f"{len(text)} tokens cost" in page.one("#inspect-status").text)
    page.no_problem()
    spans = page.all("#inspected span")
    assert "".join(span.get_property("textContent") for span in spans) == text
    bits = [float(span.get_attribute("title").split(": ")[-1].split(" bits")[0]) for span in spans]
    total = float(page.one("#inspect-status").text.split(" cost ")[1].split(" bits")[0])
    assert math.isclose(sum(bits), total, abs_tol=0.5), (sum(bits), total)
    first = page.one("#unit").get_property("value")
    Select(page.one("#order")).select_by_value("ends")
    options = page.all("#unit option")
    correlations = [abs(float(option.get_property("textContent").split("(")[1].rstrip(")"))) for option in options]
    assert correlations == sorted(correlations, reverse=True) and 0.5 < correlations[0] <= 1, correlations[:3]
    assert page.one("#unit").get_property("value") != first
    assert page.one("#map").get_property("width") == len(text)
    assert page.one("#map").get_property("height") == len(options)


def predict(page: Page) -> None:
    page.choose("gru-trec")
    page.browser.execute_script("document.getElementById('model').dispatchEvent(new Event('change'))")
    page.until(lambda: page.one("#tab-predict").get_attribute("aria-selected") == "true")
    answer(page, "Who wrote Hamlet ?\nHow far is the moon ?", 2)
    assert [heading.text for heading in page.all("#answers .answer h2")] == ["HUM", "NUM"]
    shares = [float(span.text.rstrip("%")) for span in page.all("#answers .answer:first-child .bar span")]
    assert abs(sum(shares) - 100) < 0.5, shares

    page.choose("lstm-conll2000")
    # This tagger reads parts of speech too, which plain text does not have.
    page.fill("#predict-input", "He reckons the current account deficit will narrow .")
    page.submit("predict")
    page.until(lambda: "further columns" in page.one("#problem").get_property("textContent"))

    page.choose("gru-multi30k")
    answer(page, "A man is riding a horse.", 1)
    assert "Mann" in page.one("#answers .answer p").text
    for row in page.all(".matrix tr")[1:]:
        titles = [cell.get_attribute("title") for cell in row.find_elements(By.TAG_NAME, "td")]
        weights = [float(title.rsplit(": ", 1)[1].rstrip("%")) for title in titles]
        assert abs(sum(weights) - 100) < 0.5 * len(weights) + 1, weights

    page.choose("gru-etth1")
    names = ["HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"]
    rows = []
    for hour in range(31 * 24):
        values = ",".join(f"{math.sin(hour / 24 * math.tau + at):.3f}" for at in range(7))
        rows.append(f"2020-01-{1 + hour // 24:02d} {hour % 24:02d}:00:00,{values}")
    answer(page, "\n".join(["date," + ",".join(names), *rows]), 7)
    assert [heading.text for heading in page.all("#answers .answer h2")] == names
    points = page.one("#answers .answer svg .mean").get_attribute("points").split(" ")
    assert len(points) == 96


def runs(page: Page) -> None:
    page.one("#tab-runs").click()
    page.until(lambda: len(page.all("#run-list li")) >= 12)
    page.no_problem()
    last = page.one("#run-list").text
    assert "lstm-shakespeare" in last and "valid loss 1.4" in last, last
    shown = len(page.all("#chart .curve"))
    assert shown >= 20
    for box in page.all("#run-list input"):
        label = box.find_element(By.XPATH, "..").text
        if not label.startswith(("lstm-shakespeare", "gru-shakespeare")):
            box.click()
    assert len(page.all("#chart .curve")) == 4
    assert page.all("#chart .valid title")[1].get_property("textContent") == "lstm-shakespeare, valid: 1.4619"
    table = page.one("#settings").text
    assert '"gru"' in table and '"lstm"' in table, table
    Select(page.one("#figure")).select_by_value("lr")
    page.until(lambda: page.one("#chart svg").get_attribute("aria-label") == "lr by step")


def answer(page: Page, text: str, count: int) -> None:
    page.until(lambda: page.all("#answers .answer") == [])
    page.fill("#predict-input", text)
    page.submit("predict")
    page.until(lambda: len(page.all("#answers .answer")) == count or page.one("#problem").get_property("textContent"))
    page.no_problem()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--pictures", type=Path, help="folder of screenshots")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        for flag in [*FLAGS, f"--user-data-dir={profile}", "--window-size=1200,800"]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            drive(Page(browser), arguments)
        finally:
            browser.quit()
    print("browser: ok")


def drive(page: Page, arguments: argparse.Namespace) -> None:
    def picture(name: str) -> None:
        if arguments.pictures:
            page.browser.execute_script("window.scrollTo(0, 0)")
            page.browser.save_screenshot(str(arguments.pictures / name))

    page.browser.get(arguments.url)
    page.until(lambda: len(page.all("#model option")) == 5)
    assert page.browser.execute_async_script(EVENT_SOURCE) not in ("", "error")
    write(page)
    picture("serve-write.png")
    inspect(page)
    picture("serve-inspect.png")
    predict(page)
    runs(page)
    picture("serve-runs.png")
    # A phone: nothing is wider than the screen.
    page.browser.set_window_size(390, 800)
    widths = page.browser.execute_script("return [document.body.scrollWidth, window.innerWidth]")
    assert widths[0] <= widths[1], widths
    errors = [entry["message"] for entry in page.browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == [], errors


if __name__ == "__main__":
    main()
