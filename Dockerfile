# insignia in a container: small, without root, offline while it runs. docs/how-to/containers.md says how to build and use it.
#
#   docker build -t insignia:cpu .                                                          # CPU
#   docker build -t insignia:cuda --build-arg TORCH_INDEX=https://pypi.org/simple .         # CUDA: the wheels bring its libraries
#   docker build -t insignia:audit --build-arg EXTRAS=timestamp,licensing .                 # without torch: verify an API, audit

ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=torch,gguf,report,timestamp
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN python -m venv /opt/insignia
RUN /opt/insignia/bin/pip install --no-cache-dir --no-compile --constraint constraints.txt --extra-index-url ${TORCH_INDEX} ".[${EXTRAS}]"
RUN /opt/insignia/bin/pip uninstall --yes pip

FROM python:${PYTHON}
RUN useradd --uid 10001 --create-home insignia
COPY --from=build /opt/insignia /opt/insignia
ENV PATH=/opt/insignia/bin:$PATH HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1 TOKENIZERS_PARALLELISM=false PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
USER insignia
WORKDIR /work
ENTRYPOINT ["insignia"]
CMD ["--help"]
