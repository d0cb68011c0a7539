# The static nats-server binary and nothing else.
FROM scratch
COPY nats-server /nats-server
USER 10001:10001
ENTRYPOINT ["/nats-server"]
