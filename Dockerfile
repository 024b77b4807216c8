# check=error=true

# One static binary and nothing else beside the certificates of public authorities: README, "In a container", says why.
# Tags and no digests: a digest that nobody has compared with its registry is decoration. Whoever builds for production
# passes images of their own, with their digests:
#
#   docker build --build-arg GO_IMAGE=…@sha256:… --build-arg RUNTIME_IMAGE=…@sha256:… --build-arg VERSION=… .
ARG GO_IMAGE=golang:1.26.8-alpine
ARG RUNTIME_IMAGE=scratch
ARG VERSION=0.1.0

FROM --platform=${BUILDPLATFORM} ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY internal internal
COPY migrations migrations
ARG VERSION
ARG TARGETOS
ARG TARGETARCH
# The same source gives the same bytes, in whichever folder and on whichever machine it is built.
RUN mkdir -p /out/state && \
    CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} go build -trimpath -buildvcs=false \
      -ldflags "-s -w -X main.version=${VERSION}" -o /out/authserver ./cmd/authserver

FROM ${RUNTIME_IMAGE}
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="authserver" \
      org.opencontainers.image.description="OAuth 2.0 authorization server for open finance (FAPI 2.0, FDX)" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/authserver /authserver
# A named volume takes its owner from the folder that it covers. Only dev keeps state; serve writes nowhere.
COPY --from=build --chown=65532:65532 /out/state /state
ENV XDG_DATA_HOME=/state
USER 65532:65532
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --start-interval=1s --retries=3 CMD ["/authserver", "healthcheck"]
ENTRYPOINT ["/authserver"]
CMD ["serve"]
