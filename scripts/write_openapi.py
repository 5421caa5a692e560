"""Write the OpenAPI document that the tests compare with: `python scripts/write_openapi.py`."""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from api import create_app  # noqa: E402


def main() -> None:
    document = json.dumps(create_app().openapi(), indent=1, ensure_ascii=False)
    (ROOT / "tests" / "e2e" / "openapi.json").write_text(document + "\n")


if __name__ == "__main__":
    main()
