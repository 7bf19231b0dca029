# By default the embedded mode: web, workers and clock in one process, everything it keeps in the volume /data.
#   docker build -t mobius-console . && docker run -p 8000:8000 -v mobius:/data -e ALLOWED_HOSTS=localhost mobius-console
# The same image runs the processes of the distributed engine: see compose.yaml.
FROM python:3.13-slim

RUN useradd --create-home --uid 10001 mobius && mkdir /data && chown mobius /data
WORKDIR /app
COPY requirements/postgres.txt requirements/postgres.txt
RUN pip install --no-cache-dir --require-hashes -r requirements/postgres.txt
COPY . .

USER mobius
ENV MOBIUS_DATA_DIR=/data PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8000
# A stop waits for the sends in flight, 25 seconds at most: stop with a grace of 40 seconds.
STOPSIGNAL SIGTERM
HEALTHCHECK CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz')"]
CMD ["python", "-m", "mobius.cli", "serve", "--host", "0.0.0.0"]
