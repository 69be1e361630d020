# What a host runs: the package with its locked dependencies, JAX for one kind of accelerator, and access to gs://.
#
#   docker build --build-arg ACCELERATOR=tpu --tag=europe-docker.pkg.dev/PROJECT/ugf/ugf:1 .
#
# ACCELERATOR is an extra of jax: tpu, cuda12, or cpu for none.
FROM python:3.12-slim

ARG ACCELERATOR=tpu
ENV PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1

# As the first process of a container Python would ignore SIGTERM; tini hands it on.
RUN apt-get update && apt-get install --yes --no-install-recommends tini && rm -rf /var/lib/apt/lists/*

WORKDIR /app

# Dependencies first: they change less often than the code. The lock also pins what only tests need, so it is a constraint here.
COPY pyproject.toml requirements.txt ./
RUN python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' > wanted.txt \
  && if [ "$ACCELERATOR" != cpu ]; then echo "jax[$ACCELERATOR]" >> wanted.txt; fi \
  && pip install --constraint requirements.txt --requirement wanted.txt gcsfs google-cloud-storage google-cloud-storage-control \
  && rm wanted.txt

COPY README.md LICENSE ./
COPY ugf_jax ugf_jax
COPY experiments experiments
RUN pip install --no-deps --editable .

ENTRYPOINT ["tini", "-g", "--"]
CMD ["ugf", "--help"]
