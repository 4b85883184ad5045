"""
The throw-away authority whose certificate the upstream shows: `python -m benchmarks.certificates FOLDER` prints paths.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from gateway.simulator.certificates import ensure_certificates

if __name__ == "__main__":
    made = asdict(ensure_certificates(Path(sys.argv[1])))
    print(json.dumps({name: str(path) for name, path in made.items()}))
