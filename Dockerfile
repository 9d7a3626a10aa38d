# syntax=docker/dockerfile:1

# The long-term line of Node, so that building again takes its security fixes. To pin it, or to take it from a
# mirror: --build-arg NODE_IMAGE=NAME@sha256:DIGEST
ARG NODE_IMAGE=node:26-trixie-slim

# Nothing that is built here is bound to a platform, so it is built on the builder's own, without emulation.
FROM --platform=$BUILDPLATFORM ${NODE_IMAGE} AS manifest
WORKDIR /app
COPY package.json package-lock.json .npmrc ./

# The workspace is a client and no part of the service; no package's install script is needed, so that none runs.
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
# A container's loopback is of no use to others. DIBS_INSECURE is not set: whoever runs the image says that the network is
# protected, or Dibs refuses to start and names what to do.
ENV NODE_ENV=production \
    DIBS_LISTEN=0.0.0.0:50051 \
    DIBS_HTTP_LISTEN=0.0.0.0:9464
WORKDIR /app
COPY --from=manifest /app/package.json ./
COPY --from=packages /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY deploy/healthcheck.mjs ./
# By number, so that Kubernetes can tell that it is not root. Nothing is written: the root file system may be read-only.
USER 1000:1000
EXPOSE 50051 9464
# Kubernetes has probes of its own. A start may take 10 s, until the first contact with Redis.
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s CMD ["node", "healthcheck.mjs"]
# Node is process 1 itself, so that SIGTERM reaches it, and it drains.
ENTRYPOINT ["node", "dist/main.js"]
