# docker build -t insignia . && docker run --rm -v "$PWD:/work" insignia verify prints.json --endpoint URL --name MODEL
# Without torch, for asking an API and checking evidence; --build-arg EXTRAS=[torch] for models.
FROM python:3.13-slim
ARG EXTRAS=""
COPY . /source
RUN pip install --no-cache-dir "/source${EXTRAS}" && rm -r /source && useradd --create-home owner
USER owner
WORKDIR /work
ENTRYPOINT ["insignia"]
