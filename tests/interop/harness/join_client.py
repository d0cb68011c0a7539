"""Flower's own start_numpy_client, of whichever release runs this: ADDRESS CA PARTITION."""

import sys
from pathlib import Path

from flwr.client import start_numpy_client
from legacy_numpy.client_app import C

address, ca, partition = sys.argv[1:]
start_numpy_client(server_address=address, client=C(int(partition)), root_certificates=Path(ca).read_bytes())
