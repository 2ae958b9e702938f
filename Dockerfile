# What `cargo xtask images` makes images of: its context is `target/dist`, where the programs lie by architecture.
# Each image holds one static program and nothing else, and runs as a numeric user that no system knows.

FROM scratch AS webhook
ARG TARGETARCH
COPY --chmod=0755 ${TARGETARCH}/podbadge-webhook /podbadge-webhook
USER 65532:65532
ENTRYPOINT ["/podbadge-webhook"]

FROM scratch AS sidecar
ARG TARGETARCH
COPY --chmod=0755 ${TARGETARCH}/podbadge-sidecar /podbadge-sidecar
USER 65532:65532
ENTRYPOINT ["/podbadge-sidecar"]
