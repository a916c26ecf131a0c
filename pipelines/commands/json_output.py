"""The `--json` option: all facts of a result in a file, or printed."""

import json
from pathlib import Path
from typing import Any


def write_json(json_file: Path | None, facts: Any) -> bool:
    """Write facts to a file, or print them if it is `-`.

    Returns:
        Whether they were printed, so that nothing else is.
    """
    text = json.dumps(facts, indent=1, ensure_ascii=False)
    if str(json_file) == "-":
        print(text)
        return True
    if json_file is not None:
        json_file.write_text(text + "\n", encoding="utf-8")
    return False
