"""Answer as clip-retrieval's server does, once and then again: INDEX MODEL TEXT COUNT.

clip-retrieval has no command that searches, but a server and its client. This loads what
`clip-retrieval back` loads, asks its service without the HTTP between, and prints "answered"; then
the seconds of each later query. The FAISS file is mapped, which is the server's own option and
quicker to load; what the server would fetch from the web (safety, aesthetics) is switched off.
"""

import json
import sys
import tempfile
import time

from clip_retrieval.clip_back import ClipOptions, KnnService, load_clip_indices

index, model, text, count = sys.argv[1:]
options = ClipOptions(
    indice_folder="",
    clip_model=model,
    enable_hdf5=False,
    enable_faiss_memory_mapping=True,
    columns_to_return=["image_path"],
    reorder_metadata_by_ivf_index=False,
    enable_mclip_option=False,
    use_jit=False,
    use_arrow=False,
    provide_safety_model=False,
    provide_violence_detector=False,
    provide_aesthetic_embeddings=False,
)
with tempfile.NamedTemporaryFile("w", suffix=".json") as listed:
    json.dump({"photos": index}, listed)
    listed.flush()
    service = KnnService(clip_resources=load_clip_indices(listed.name, options))
hits = service.query(text_input=text, num_images=10, num_result_ids=10)
if not hits or "image_path" not in hits[0]:
    sys.exit(f"no answer: {hits}")
sys.stdout.write("answered\n")
sys.stdout.flush()
seconds = []
for number in range(int(count)):
    began = time.perf_counter()
    service.query(text_input=f"{text} {number}", num_images=10, num_result_ids=10)
    seconds.append(time.perf_counter() - began)
sys.stdout.write(json.dumps(seconds) + "\n")
