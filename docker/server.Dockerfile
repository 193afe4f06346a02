# Serves a built model repository, mounted at /models, with NVIDIA's Triton and its C++ backends.
# Build from the repository root: docker build --file docker/server.Dockerfile --tag clip-har-server .

# A release as NVIDIA tags it. Keep it at 26.03 or later: SECURITY.md says why.
ARG TRITON_RELEASE=26.07
FROM nvcr.io/nvidia/tritonserver:${TRITON_RELEASE}-py3

# The light half only: what the Python models import, and `server` for the health check.
# The graphs run in Triton's own ONNX Runtime or OpenVINO: no engine is installed, and no torch.
WORKDIR /opt/clip-har
COPY pyproject.toml README.md constraints-server.txt ./
COPY clip_har ./clip_har
COPY server ./server
RUN pip3 install --no-cache-dir --constraint constraints-server.txt . av pillow tokenizers

# Triton's own unprivileged user, triton-server, by number so that Kubernetes can check it.
USER 1000:1000

# A model's folder is mounted read-only: Python could not keep its compiled files there.
ENV PYTHONDONTWRITEBYTECODE=1

# HTTP, gRPC, metrics.
EXPOSE 8000 8001 8002

# Triton's health endpoints stay green over a dead Python model, so this sends real images.
HEALTHCHECK --interval=30s --timeout=60s --start-period=180s --retries=3 \
    CMD ["python3", "-m", "server", "status", "--url", "127.0.0.1:8000"]

# The addresses are those inside the container; compose.yaml publishes them on 127.0.0.1 only.
ENTRYPOINT ["tritonserver", \
    "--model-repository=/models", \
    "--http-address=0.0.0.0", \
    "--grpc-address=0.0.0.0", \
    "--metrics-address=0.0.0.0", \
    "--model-control-mode=none", \
    "--exit-on-error=true", \
    "--strict-readiness=true", \
    "--disable-auto-complete-config", \
    "--exit-timeout-secs=5", \
    "--backend-config=python,stub-timeout-seconds=120"]
