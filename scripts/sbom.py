# SPDX-License-Identifier: Apache-2.0
"""Lists the Python packages of a folder as a CycloneDX document: sbom.py SITE_PACKAGES.

Says nothing that changes between two runs: no time, no serial number.
"""

import json
import sys
from importlib.metadata import Distribution, distributions
from typing import Any

_TOOLS = {"pip", "setuptools"}
"""They are there while it is made, and not afterwards."""


def document(folder: str) -> dict[str, Any]:
    """Make the document of what is installed in a folder."""
    found = {one.name.lower().replace("_", "-"): one for one in distributions(path=[folder])}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**_component("joulespan", found["joulespan"]), "type": "application"}},
        "components": [_component(name, found[name]) for name in sorted(found.keys() - _TOOLS - {"joulespan"})],
    }


def _component(name: str, one: Distribution) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{one.version}"
    found: dict[str, Any] = {"type": "library", "bom-ref": purl, "name": name, "version": one.version, "purl": purl}
    if expression := one.metadata.get("License-Expression"):
        found["licenses"] = [{"expression": expression}]
    elif (text := one.metadata.get("License")) and "\n" not in text:
        found["licenses"] = [{"license": {"name": text}}]
    return found


if __name__ == "__main__":
    print(json.dumps(document(sys.argv[1]), indent=1))
