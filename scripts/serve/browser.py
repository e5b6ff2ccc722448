"""Drive every pane of the page of `rnn serve` in Chromium, and assert elements, text and values."""

import argparse
import math
import shutil
import tempfile
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
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

# Roles of elements that a screen reader must be able to name.
NAMED = set("button checkbox combobox group image img slider tab table tablist tabpanel textbox".split())

# The panes whose pictures the docs show.
PICTURED = ["write", "inspect"]

# The least contrast between a text and its ground (WCAG 2, level AA).
CONTRAST = 4.5

# Texts that are shown with less contrast, and how much they have.
FAINT = """
const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
function over(ground, colour) {
  context.fillStyle = `rgb(${ground})`;
  context.fillRect(0, 0, 1, 1);
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)];
}
function ground(element) {
  const below = element.parentElement ? ground(element.parentElement) : [255, 255, 255];
  return over(below, getComputedStyle(element).backgroundColor);
}
function light(rgb) {
  const [r, g, b] = rgb.map((part) => part / 255).map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
const written = (node) => node.nodeType === Node.TEXT_NODE && node.data.trim() !== "";
const shown = [...document.querySelectorAll("body *:not(:disabled, svg *)")].filter(
  (element) => [...element.childNodes].some(written) && element.checkVisibility(),
);
return shown.flatMap((element) => {
  const below = ground(element);
  const lights = [light(below), light(over(below, getComputedStyle(element).color))].sort((a, b) => b - a);
  const contrast = (lights[0] + 0.05) / (lights[1] + 0.05);
  return contrast < arguments[0] ? [`${element.textContent.slice(0, 40)}: ${contrast.toFixed(2)}`] : [];
});
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


def sample(page: Page) -> None:
    """Write a text and open a token, for the picture."""
    page.fill("#prompt", "ROMEO:\n")
    page.fill("#max_tokens", "180")
    page.submit("write")
    page.until(lambda: page.one("#write-status").text.startswith("180 tokens") and not page.one("#stop").is_enabled())
    # A click opens the least probable of the tokens.
    style = "return [...arguments].map((token) => Number(token.style.getPropertyValue('--p')))"
    tokens = page.all("#text .token")
    shares = page.browser.execute_script(style, *tokens)
    tokens[shares.index(min(shares))].click()
    assert len(page.all("#alternatives .bar")) == 10


def inspect(page: Page) -> None:
    page.one("#tab-inspect").click()
    text = "Once more\nunto the breach.\n"
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
    # The gates are those of the chosen unit: the output gate and the cell state give its value.
    unit = page.one("#unit").get_property("value")
    page.until(lambda: f"Gates of unit {unit} " in page.one("#gates-caption").get_property("textContent"))
    names = [chart.get_attribute("aria-label").split(":")[0] for chart in page.all("#gates svg")]
    assert sorted(names) == ["candidate", "cell", "forget", "input", "output"], names
    assert len(page.one("#gates .mean").get_attribute("points").split(" ")) == len(text)


def predict(page: Page) -> None:
    page.choose("gru-trec")
    page.browser.execute_script("document.getElementById('model').dispatchEvent(new Event('change'))")
    page.until(lambda: page.one("#tab-predict").get_attribute("aria-selected") == "true")
    answer(page, "Who wrote Hamlet ?\nHow far is the moon ?", 2)
    assert [heading.text for heading in page.all("#answers .answer h2")] == ["HUM", "NUM"]
    shares = [float(span.text.rstrip("%")) for span in page.all("#answers .answer:first-child .bar span")]
    assert abs(sum(shares) - 100) < 0.5, shares

    page.choose("lstm-conll2000")
    # This tagger reads parts of speech too.
    page.until(lambda: "further column" in page.one("#predict-label").text)
    words = "He PRP,reckons VBZ,the DT,current JJ,account NN,deficit NN,will MD,narrow VB,. .".split(",")
    answer(page, "\n".join([*words, "", "Prices NNS", "rose VBD"]), 2)
    tagged = page.all("#answers .answer:first-child .tagged")
    tags = [span.find_element(By.TAG_NAME, "small").text.strip() for span in tagged]
    assert tags == ["B-NP", "B-VP", "B-NP", "I-NP", "I-NP", "I-NP", "B-VP", "I-VP", ""], tags

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
    # Each forecast is drawn after the values of its own column, which differ in phase.
    lines = {path.get_attribute("d") for path in page.all("#answers .answer svg .history")}
    assert len(lines) == len(names) and all(line.count(",") == 3 * 96 for line in lines), lines


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
    button = next(button for button in page.all("#run-list button") if button.accessible_name == "Text of gru-story")
    button.click()
    page.until(lambda: page.all("#sample figcaption") and page.one("#sample").is_displayed())
    caption = page.one("#sample figcaption").text
    assert caption.startswith("gru-story at step") and len(page.one("#sample pre").text) > 200, caption
    page.no_problem()
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
        for flag in [*FLAGS, f"--user-data-dir={profile}", "--hide-scrollbars", "--window-size=1200,800"]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            drive(Page(browser), arguments)
        finally:
            browser.quit()
    print("browser: ok")


def picture(page: Page, path: Path) -> None:
    """Write a screenshot of the whole pane."""
    page.browser.execute_script("window.scrollTo(0, 0)")
    height = page.browser.execute_script("return document.querySelector('main').getBoundingClientRect().bottom")
    screen = {"width": 1200, "height": math.ceil(height), "deviceScaleFactor": 1, "mobile": False}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    page.browser.save_screenshot(str(path))
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def accessible(page: Page) -> None:
    """Every element of the pane that a screen reader announces has a name."""
    nodes = page.browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    shown = [node for node in nodes if not node["ignored"] and node["role"]["value"] in NAMED]
    assert len(shown) > 5
    unnamed = [node["role"]["value"] for node in shown if not node["name"]["value"].strip()]
    assert unnamed == [], unnamed


def readable(page: Page) -> None:
    """Every text of the pane has enough contrast, in dark and in light."""
    grounds = set()
    for scheme in ["dark", "light"]:
        # Without motion, because a colour that changes slowly has no contrast of its own.
        features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in features.items()]
        page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        faint = page.browser.execute_script(FAINT, CONTRAST)
        assert faint == [], (scheme, faint)
        grounds.add(page.browser.execute_script("return getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 2, grounds


def fits(page: Page) -> None:
    """On a phone nothing is wider than the screen."""
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    width = page.browser.execute_script("return document.documentElement.scrollWidth")
    assert width <= phone["width"], width
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def keyboard(page: Page) -> None:
    """The arrow keys move between panes, Tab from the panes to all controls of the pane."""
    page.choose("lstm-shakespeare")
    page.one("#tab-write").click()
    page.one("#tab-write").send_keys(Keys.ARROW_RIGHT)
    assert page.browser.switch_to.active_element.get_attribute("id") == "tab-inspect"
    assert page.one("#inspect").is_displayed() and not page.one("#write").is_displayed()
    page.browser.switch_to.active_element.send_keys(Keys.ARROW_LEFT)
    found = []
    while len(found) < 20 and found[-1:] != ["start"]:
        ActionChains(page.browser).send_keys(Keys.TAB).perform()
        found.append(page.browser.switch_to.active_element.get_attribute("id"))
    sliders = ["max_tokens", "temperature", "top_p", "min_p", "repeat_penalty"]
    assert found == ["model", "prompt", *sliders, "seed", "start"], found
    page.browser.switch_to.active_element.send_keys(Keys.ENTER)
    page.until(lambda: page.one("#write-status").text.startswith("200 tokens") and not page.one("#stop").is_enabled())


def drive(page: Page, arguments: argparse.Namespace) -> None:
    def finish(name: str) -> None:
        """Check what holds of every pane, and take a picture."""
        if arguments.pictures and name in PICTURED:
            picture(page, arguments.pictures / f"serve-{name}.png")
        accessible(page)
        readable(page)
        fits(page)
        print(f"browser: {name}: ok")

    page.browser.get(arguments.url)
    page.until(lambda: len(page.all("#model option")) == 5)
    assert page.browser.execute_async_script(EVENT_SOURCE) not in ("", "error")
    write(page)
    keyboard(page)
    sample(page)
    finish("write")
    inspect(page)
    finish("inspect")
    predict(page)
    finish("predict")
    runs(page)
    finish("runs")
    # Neither an error of a script nor a violation of the Content-Security-Policy.
    errors = [entry["message"] for entry in page.browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == [], errors


if __name__ == "__main__":
    main()
