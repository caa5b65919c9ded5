"""Make the moving picture of the README from the real instrument: ``make picture``.

Chromium opens the ρ instrument as a page without a kernel and moves its slider; Pillow writes the frames.
"""

import argparse
import io
import shutil
import tempfile
from pathlib import Path

from flatmtl_lite.lab import page, rho_instrument
from flatmtl_lite.lab.figures.display import in_course_colors

WIDTH, HEIGHT = 960, 510  # pixels
EVERY = 3  # slider positions between two frames
MOST_BYTES = 1_500_000


def moving_picture(path: Path) -> int:
    """Write an animated GIF of the slider going up and down, and return its size in bytes.

    Raises:
        FileNotFoundError: there is no Chromium or Chrome.
        ValueError: the picture would be larger than 1.5 MB; nothing is written.
    """
    from PIL import Image
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise FileNotFoundError(
            "Got no chromium or google-chrome on the PATH; expected one. Install it first."
        )
    stage = rho_instrument("valleys")
    frames = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder) / "rho.html"
        file.write_text(page(stage, title="ρ"), encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        tab.goto(file.as_uri())
        tab.locator(".moving .js-plotly-plot, .moving.js-plotly-plot").first.wait_for(state="attached")
        slider = tab.get_by_role("slider")
        for index in range(0, len(stage.values), EVERY):
            slider.evaluate(
                "(el, i) => { el.value = i; el.dispatchEvent(new Event('input', { bubbles: true })); }", index
            )
            tab.wait_for_timeout(400)
            frames.append(Image.open(io.BytesIO(tab.screenshot())).convert("RGB"))
        browser.close()
    up = [in_course_colors(frame) for frame in frames]
    there_and_back = up + up[-2:0:-1]
    durations = [110] * len(there_and_back)
    durations[0] = durations[len(up) - 1] = 900
    content = io.BytesIO()
    there_and_back[0].save(
        content,
        "GIF",
        save_all=True,
        append_images=there_and_back[1:],
        duration=durations,
        loop=0,
        optimize=True,
    )
    size = len(content.getvalue())
    if size > MOST_BYTES:
        raise ValueError(
            f"Got a picture of {size:,} bytes; expected at most {MOST_BYTES:,}. Take fewer frames."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.getvalue())
    return size


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="the GIF to write")
    print(f"{moving_picture(parser.parse_args().path):,} bytes")
