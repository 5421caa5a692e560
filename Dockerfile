# Untested: see docs/api.md.
FROM python:3.13-slim
COPY . /source
RUN pip install --no-cache-dir /source && rm -r /source \
    && useradd --create-home clipdex && install -d -o clipdex /collection
USER clipdex
ENV CLIPDEX_COLLECTION=/collection
VOLUME ["/collection"]
EXPOSE 8765
# A key has to come with `docker run -e CLIPDEX_API_KEY=...`: it refuses to start without.
CMD ["clipdex", "serve", "--host", "0.0.0.0", "--allow-index", "/photos"]
