# SPDX-License-Identifier: Apache-2.0
"""Pictures of the dashboards, of the demo with faults: python -m tests.render.screenshots FOLDER"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.live.stack import FAULTY, ROOT, stack

SECONDS = 330.0
"""Nearly two rounds of faults."""
PICTURES = {
    "gpu": (f"var-instance={FAULTY}",),
    # The rest of it would make the picture large.
    "inference": (f"var-instance={FAULTY}", "height=1480"),
    "energy": (),
    "fleet": (),
}
"""What to draw, and how."""


def main(folder: Path) -> int:
    """Run the demo, wait, and draw. Returns 1 when a panel could not be drawn."""
    wrong = 0
    with tempfile.TemporaryDirectory() as place, stack(Path(place), SECONDS) as live:
        for name, options in PICTURES.items():
            dashboard, picture = ROOT / f"dashboards/json/{name}.json", folder / f"{name}.png"
            drawing = ["sh", str(ROOT / "scripts/render.sh"), live.scraped.url, str(dashboard), str(picture)]
            done = subprocess.run([*drawing, "minutes=5", "width=1240", *options], check=False)
            wrong += done.returncode != 0
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
