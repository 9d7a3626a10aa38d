# syntax=docker/dockerfile:1

# The long-term line of Node, so that a rebuild gets its security fixes. To pin it, or to use a mirror:
# --build-arg NODE_IMAGE=NAME@sha256:DIGEST
ARG NODE_IMAGE=node:26-trixie-slim

# The result is platform-independent, so it is built on the builder's own platform, without emulation.
FROM --platform=$BUILDPLATFORM ${NODE_IMAGE} AS manifest
WORKDIR /app
COPY package.json package-lock.json .npmrc ./

# The workspace is a client, not part of the service. No package needs an install script, so none runs.
FROM manifest AS packages
RUN --mount=type=cache,target=/npm-cache \
    npm ci --cache=/npm-cache --omit=dev --workspaces=false --ignore-scripts

FROM manifest AS build
RUN --mount=type=cache,target=/npm-cache \
    npm ci --cache=/npm-cache --workspaces=false --ignore-scripts
COPY tsconfig.json ./
COPY .ci/copy-assets.mjs .ci/
COPY src src
RUN node_modules/.bin/tsc && node .ci/copy-assets.mjs

FROM ${NODE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="dibs" \
      org.opencontainers.image.description="Lets one caller rebuild an expired cache value while everyone else waits for it" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/dibs-cache/dibs" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# A container's loopback is unreachable for others. DIBS_INSECURE is not set. Set it only if the network is protected.
# Otherwise Dibs refuses to start and says what to do.
ENV NODE_ENV=production \
    DIBS_LISTEN=0.0.0.0:50051 \
    DIBS_HTTP_LISTEN=0.0.0.0:9464
WORKDIR /app
COPY --from=manifest /app/package.json ./
COPY --from=packages /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY deploy/healthcheck.mjs ./
# A number, so that Kubernetes knows that it is not root. Dibs writes no file, so the root file system may be read-only.
USER 1000:1000
EXPOSE 50051 9464
# Kubernetes uses its own probes. A start may take 10 s, until the first contact with Redis.
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s CMD ["node", "healthcheck.mjs"]
# Node is process 1, so that it gets SIGTERM and drains. With room for what lives as long as a call, Node collects garbage
# less often. It takes up to 192 MiB more under load. test/bench/README.md has the figure.
ENTRYPOINT ["node", "--max-semi-space-size=64", "dist/main.js"]
