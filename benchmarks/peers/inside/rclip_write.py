"""Vectors into a new rclip store, by rclip's own database code: VECTORS COUNT.

Runs in rclip's environment, in the folder that the files are said to lie in.
"""

import sys
from pathlib import Path

import numpy as np
from rclip.db import DB
from rclip.utils.helpers import get_app_datadir

vectors, count = sys.argv[1:]
database = DB(get_app_datadir() / "db.sqlite3")
for number, vector in enumerate(np.load(vectors, mmap_mode="r")[: int(count)]):
    database.upsert_image(
        {
            "filepath": str(Path.cwd() / f"{number:06}.jpg"),
            "modified_at": 1.7e9 + number,
            "size": 2**20,
            "vector": vector.tobytes(),
            "hash": f"{number:064x}",
        },
        commit=False,
    )
database.close()
