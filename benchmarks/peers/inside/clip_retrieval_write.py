"""Vectors in the layout that `clip-retrieval inference` writes: VECTORS COUNT ROOT STORE.

Runs in clip-retrieval's environment and uses its writer.
"""

import sys

import numpy as np
from clip_retrieval.clip_inference.writer import NumpyWriter

vectors, count, root, store = sys.argv[1:]
taken = np.load(vectors, mmap_mode="r")[: int(count)]
writer = NumpyWriter(
    partition_id=0,
    output_folder=store,
    enable_text=False,
    enable_image=True,
    enable_metadata=False,
    output_partition_count=1,
)
names = [f"{root}/{number:06}.jpg" for number in range(int(count))]
writer({"image_embs": taken.astype(np.float16), "image_filename": names})
writer.flush()
