# The static nats-server binary and nothing else. Its file of settings is the operator's: deploy/docker/compose has one.
FROM scratch
COPY rootfs/ /
ARG TITLE
ARG VERSION
ARG REVISION
ARG CREATED
ARG SBOM_SHA256
LABEL org.opencontainers.image.title="aegis/nats" \
      org.opencontainers.image.description="${TITLE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      aegis.sbom.path="/sbom.cdx.json" \
      aegis.sbom.sha256="${SBOM_SHA256}"
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["/nats-server"]
CMD ["--config", "/etc/aegis/nats.conf"]
