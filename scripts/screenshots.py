"""`make screenshots`: the pictures of docs/img, taken of a running demo with a real browser."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402

from bench.rig import ADDRESS, BIN, COMMON, Rig, running  # noqa: E402

FOLDER = ROOT / "docs" / "img"
WIDE = {"width": 1280, "height": 860}
#: Looked for as the tests do: `make screenshots` installs what they use.
CHROMIUM = os.environ.get("SHOP_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "chromium-browser"))),
    None,
)


def main() -> None:
    """Seed a demo, buy something, and photograph the way."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tillshots") as name:
        url = f"sqlite:///{name}/shop.db"
        environ = {**os.environ, **COMMON, "SHOP_ENV": "development", "DATABASE_URL": url}
        flask = (str(BIN / "flask"), "--app", "wsgi")
        subprocess.run([*flask, "db", "upgrade"], cwd=ROOT, env=environ, check=True)
        told = subprocess.run(
            [*flask, "shop", "demo"],
            cwd=ROOT,
            env=environ,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
        email, password = re.findall(r"(\S+@\S+) / (\S+)", told)[0]
        with running(Path(name), url, SHOP_ENV="development") as rig, sync_playwright() as player:
            browser = player.chromium.launch(
                executable_path=CHROMIUM,
                args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
            )
            number = shop(rig, browser)
            admin(rig, browser, email, password, number)
            browser.close()


def opened(browser: Browser, **more: Any) -> Page:
    """A page of a new visitor."""
    return browser.new_context(viewport=WIDE, **more).new_page()


def taken(page: Page, name: str) -> None:
    """One picture."""
    page.wait_for_load_state("networkidle")
    page.screenshot(path=FOLDER / f"{name}.png")
    print(f"docs/img/{name}.png")


def shop(rig: Rig, browser: Browser) -> str:
    """From the front page to the order's page. Returns the order's number."""
    page = opened(browser)
    page.goto(rig.url)
    taken(page, "front")
    page.locator(".product__name a").first.click()
    taken(page, "product")
    page.get_by_role("button", name="Add to cart").click()
    page.locator("#cart-link .count").wait_for()
    page.goto(f"{rig.url}/checkout")
    for name in ("email", "tel", "name", "postal_code", "city", "address_line1"):
        page.locator(f"[name={name}]").fill(ADDRESS[name])
    page.locator("[name=state]").select_option(ADDRESS["state"])
    page.locator("[name=method][value=sandbox]").check()
    taken(page, "checkout")
    page.locator("#pay").click()
    page.wait_for_url("**/sandbox/pay/**")
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("**/orders/**")
    page.get_by_text("Packed and waiting").first.wait_for(timeout=40_000)
    taken(page, "order")
    return re.search(r"\d{4}\.\d{3,}", page.inner_text("main")).group(0)  # type: ignore[union-attr]


def admin(rig: Rig, browser: Browser, email: str, password: str, number: str) -> None:
    """The desk."""
    page = opened(browser)
    page.goto(f"{rig.url}/account/sign-in?next=/admin/orders")
    page.locator("[name=email]").fill(email)
    page.locator("[name=password]").fill(password)
    page.locator("main").get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/admin/orders")
    taken(page, "admin-orders")
    page.goto(f"{rig.url}/admin/orders/{number}")
    taken(page, "admin-order")


if __name__ == "__main__":
    main()
