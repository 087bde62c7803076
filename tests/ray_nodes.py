"""A Ray cluster of nodes on this machine, in a process of its own, until its input ends.

It prints one line: the address, and the process of each node's raylet, that of the head first.
"""

import json
import shutil
import sys
import tempfile


def main() -> None:
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": 150 << 20}
    folder = tempfile.mkdtemp(prefix="ray-")
    head = {**small, "include_dashboard": False, "temp_dir": folder}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    nodes = [cluster.head_node, *(cluster.add_node(wait=False, **small) for _ in range(3))]
    cluster.wait_for_nodes(timeout=120)
    raylets = [node.all_processes["raylet"][0].process.pid for node in nodes]
    print(json.dumps({"address": cluster.address, "raylets": raylets}), flush=True)
    sys.stdin.read()
    cluster.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
