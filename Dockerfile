# syntax=docker/dockerfile:1
# The images of the four programs, one target for each: docker build --target auth --tag ghcr.io/grimoire/auth:dev .
#
# Nothing names a processor: what is built is for the platform that the builder has, or that --platform names.

# That of rust-toolchain.toml, so that rustup finds its toolchain in place. A test compares.
ARG RUST=1.95.0

# What the programs are compiled with, and what docker-compose.test.yml runs tests in.
FROM rust:${RUST}-bookworm AS tools
# Debian serves one version of each: the newest of its release.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends cmake g++ make zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /grimoire

FROM tools AS chef
RUN cargo install --locked cargo-chef@0.1.78

FROM chef AS plan
COPY . .
RUN cargo chef prepare

FROM chef AS build
# librdkafka wants zlib, which the base of the images does not have: it becomes a part of the programs.
ENV LIBZ_SYS_STATIC=1
COPY --from=plan /grimoire/recipe.json .
# Crates of others. They are compiled again when Cargo.lock changes, and not when our code does.
RUN cargo chef cook --release --locked --package gateway --package auth --package user --package event-consumer
COPY . .
# Names of functions stay for backtraces; numbers of lines are three quarters of a program.
RUN cargo build --release --locked --package gateway --package auth --package user --package event-consumer \
    && strip --strip-debug target/release/gateway target/release/auth target/release/user target/release/event-consumer

# The C library, libgcc and certificates. There is no shell, so a health check would have nothing to run: probes are HTTP, on the admin port.
FROM gcr.io/distroless/cc-debian12:nonroot AS runtime
ARG SOURCE=unknown
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.source=${SOURCE} \
      org.opencontainers.image.version=${VERSION} \
      org.opencontainers.image.revision=${REVISION} \
      org.opencontainers.image.licenses=Apache-2.0
# By its number, or Kubernetes could not tell that it is not root.
USER 65532:65532

# Each program is started once: an image that lacks a library of it is not made.

FROM runtime AS gateway
LABEL org.opencontainers.image.title=gateway
COPY --from=build /grimoire/target/release/gateway /usr/local/bin/
RUN ["gateway", "--version"]
EXPOSE 5000 9100
ENTRYPOINT ["gateway"]

FROM runtime AS auth
LABEL org.opencontainers.image.title=auth
COPY --from=build /grimoire/target/release/auth /usr/local/bin/
RUN ["auth", "--version"]
EXPOSE 50051 9101
ENTRYPOINT ["auth"]

FROM runtime AS user
LABEL org.opencontainers.image.title=user
COPY --from=build /grimoire/target/release/user /usr/local/bin/
RUN ["user", "--version"]
EXPOSE 50052 9102
ENTRYPOINT ["user"]

FROM runtime AS event-consumer
LABEL org.opencontainers.image.title=event-consumer
COPY --from=build /grimoire/target/release/event-consumer /usr/local/bin/
RUN ["event-consumer", "--version"]
EXPOSE 50053 9103
ENTRYPOINT ["event-consumer"]
