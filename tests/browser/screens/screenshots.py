"""`make screenshots`: every scene at two widths, light and dark, into docs/screenshots, with a page that shows them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.browser.screens.patients import write
from tools.node import node

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
SHOTS = DOCS / "screenshots"
_COLOURS = 192
_HEAD = """\
# Screenshots

Made by `make screenshots` from the app as it is built, before a gateway with a little archive behind it. The patients
are invented; it is always 03:12. Phone: 360 px wide, at most 1,500 px of its length; desktop: 1280 x 800. Each scene is
also looked at by axe, and at 320 px in a language with longer words ([app.md](app.md)).
"""


def main() -> int:
    """Make them all anew."""
    with tempfile.TemporaryDirectory() as folder:
        patients, raw = Path(folder) / "patients", Path(folder) / "shots"
        write(patients, ward=40)
        settings = {
            "RELAYPACS_PYTHON": sys.executable,
            "RELAYPACS_SERIES": str(patients / "one"),
            "RELAYPACS_PATIENTS": str(patients),
        }
        done = subprocess.run(
            [node(), str(Path(__file__).with_name("shots.mjs")), str(raw)],
            env=os.environ | settings,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        SHOTS.mkdir(exist_ok=True)
        for old in SHOTS.glob("*.png"):
            old.unlink()
        for shot in sorted(raw.glob("*.png")):
            few = (
                Image.open(shot)
                .convert("RGB")
                .quantize(_COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
            )
            few.save(SHOTS / shot.name, optimize=True)
        scenes = [tuple(line.split("\t")) for line in done.stdout.splitlines()]
    page = [_HEAD]
    for name, title in scenes:
        page.append(f"## {title}\n")
        page += [
            f"![{title}, {kind}](screenshots/{name}-{kind}.png)"
            for kind in ("phone-light", "phone-dark", "desktop-light", "desktop-dark")
        ]
        page.append("")
    (DOCS / "screenshots.md").write_text("\n".join(page), encoding="utf-8")
    total = sum(path.stat().st_size for path in SHOTS.glob("*.png"))
    print(f"{len(scenes)} scenes, {total / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
