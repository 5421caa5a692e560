"""Seconds of each query of an rclip that stays, as its interactive mode does: TEXT COUNT."""

import json
import os
import sys
import time

from rclip.main import init_rclip

text, count = sys.argv[1:]
rclip, model, database = init_rclip(os.getcwd(), 8, no_indexing=True)
rclip.search(text, os.getcwd())
seconds = []
for number in range(int(count)):
    began = time.perf_counter()
    rclip.search(f"{text} {number}", os.getcwd())
    seconds.append(time.perf_counter() - began)
rclip.close()
model.close()
database.close()
sys.stdout.write(json.dumps(seconds) + "\n")
