"""The runtimes to compare with, each in an environment of its own."""

from peers.llama_cpp import AMX, PLAIN
from peers.openvino_genai import OPENVINO
from peers.peer import Peer
from peers.xllamacpp import WHEEL

PEERS: dict[str, Peer] = {peer.name: peer for peer in (PLAIN, AMX, WHEEL, OPENVINO)}
"""By the name that `--peers` takes."""
