"""Takes the pictures in the docs from a running lakehouse, in headless Chromium.

    lakehouse demo && lakehouse up        in one terminal
    python docs/screenshots.py            in another; --only report needs no lakehouse up

Needs Chromium and its driver (Debian: chromium and chromium-driver).
"""

import argparse
import tempfile
import time
from datetime import date
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from assets import catalog
from assets.report import page
from assets.report.figures import gathered
from lakehouse.lake import Lake
from lakehouse.settings import Settings

# The day whose report is shown: the study is in full swing.
REPORT_DAY = date(2014, 3, 6)
FOLDER = Path(__file__).parent / "pictures"
REPORTS = {"report": "light", "report-dark": "dark"}
PAGES = {
    "graph": ("/asset-groups", "marts"),
    "lineage": ("/assets/marts/mart_site_quality?view=lineage&lineageScope=upstream&lineageDepth=10", "raw"),
    "vitals": ("/assets/processed/vitals?view=overview", "Column"),
    "partitions": ("/assets/raw/vitals?view=partitions", "2015"),
}


def main() -> None:
    """Open each page, wait until its text is there and it has come to rest, and save it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--url", default="http://127.0.0.1:3000")
    options.add_argument("--chromium", default="/usr/bin/chromium")
    options.add_argument("--driver", default="/usr/bin/chromedriver")
    options.add_argument("--only", choices=[*PAGES, *REPORTS], help="take just this picture")
    given = options.parse_args()
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        browser = _browser(given.chromium, given.driver, profile)
        try:
            for name in [name for name in REPORTS if given.only in (None, name)]:
                _report(browser, name)
            for name, (path, text) in PAGES.items():
                if given.only not in (None, name):
                    continue
                browser.get(given.url + path)
                _wait_for(browser, text)
                # Graphs are laid out and drawn after their data has come.
                time.sleep(8)
                browser.save_screenshot(str(FOLDER / f"{name}.png"))
                print(FOLDER / f"{name}.png")
        finally:
            browser.quit()


def _report(browser: webdriver.Chrome, name: str) -> None:
    """The upper part of a day's report, light or dark as the picture's name says."""
    settings = Settings.load()
    path = page.write(gathered(Lake(settings.lake_uri), catalog.sources(), REPORT_DAY), settings.home)
    scheme = {"name": "prefers-color-scheme", "value": REPORTS[name]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.set_window_size(1100, 1300)
    browser.get(path.as_uri())
    browser.save_screenshot(str(FOLDER / f"{name}.png"))
    print(FOLDER / f"{name}.png")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.set_window_size(1800, 1100)


def _wait_for(browser: webdriver.Chrome, text: str) -> None:
    WebDriverWait(browser, 90).until(lambda page: text in page.find_element(By.TAG_NAME, "body").text)


def _browser(chromium: str, driver: str, profile: str) -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    quiet = [f"disable-{name}" for name in ("background-networking", "component-update", "sync", "quic", "gpu")]
    for word in ("headless=new", "no-sandbox", "no-first-run", "hide-scrollbars", *quiet):
        options.add_argument(f"--{word}")
    options.add_argument(f"--user-data-dir={profile}")
    options.add_argument("--window-size=1800,1100")
    return webdriver.Chrome(options=options, service=Service(driver))


if __name__ == "__main__":
    main()
