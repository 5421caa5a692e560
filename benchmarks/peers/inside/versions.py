"""Print the versions of Python and of packages, as JSON. Runs in each tool's environment."""

import json
import platform
import sys
from importlib.metadata import version

found = {name: version(name) for name in sys.argv[1:]}
sys.stdout.write(json.dumps({**found, "Python": platform.python_version()}))
