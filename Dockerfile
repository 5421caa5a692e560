# See docs/home-server.md, which says what was tried.
FROM python:3.13-slim AS build
COPY . /source
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel /source

FROM python:3.13-slim
# Nothing of the checkout but the wheel comes with the image.
COPY --from=build /wheel /wheel
RUN pip install --no-cache-dir "$(ls /wheel/*.whl)[raw,watch]" && rm -r /wheel \
    && useradd --uid 1000 --create-home clipdex && install -d -o clipdex /collection
USER clipdex
ENV CLIPDEX_COLLECTION=/collection
VOLUME ["/collection"]
EXPOSE 8765
# A key has to come with `docker run -e CLIPDEX_API_KEY=...`: it refuses to start without.
CMD ["clipdex", "serve", "--host", "0.0.0.0", "--allow-index", "/photos"]
