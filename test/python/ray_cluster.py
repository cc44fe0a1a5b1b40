"""Two nodes of a Ray cluster on this machine, two processors each. Prints their address; ends when its input does."""

import sys

import ray
from ray.cluster_utils import Cluster

cluster = Cluster()
try:
    for _ in range(2):
        cluster.add_node(num_cpus=2, object_store_memory=100 << 20, include_dashboard=False)
    cluster.wait_for_nodes()
    print(cluster.address, flush=True)
    sys.stdin.read()
finally:
    cluster.shutdown()
