"""Takes the pictures in the docs from a running lakehouse, in headless Chromium.

    lakehouse demo && lakehouse up        in one terminal
    python docs/screenshots.py            in another

Needs Chromium and its driver (Debian: chromium and chromium-driver).
"""

import argparse
import tempfile
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

FOLDER = Path(__file__).parent / "pictures"
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
    given = options.parse_args()
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        browser = _browser(given.chromium, given.driver, profile)
        try:
            for name, (path, text) in PAGES.items():
                browser.get(given.url + path)
                _wait_for(browser, text)
                # Graphs are laid out and drawn after their data has come.
                time.sleep(8)
                browser.save_screenshot(str(FOLDER / f"{name}.png"))
                print(FOLDER / f"{name}.png")
        finally:
            browser.quit()


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
