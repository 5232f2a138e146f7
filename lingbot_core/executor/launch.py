# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Starts the ranks of this machine through torch elastic (``python -m torch.distributed.run``)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

from lingbot_core.executor.worker import SETTINGS_VARIABLE
from lingbot_core.options import Machines, ModelOptions

PACK_FOLDER = Path(__file__).parents[2]
"""What ranks import from, whatever else is installed."""

_LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"

_OF_AN_OUTER_GROUP = re.compile(
    r"^(RANK|LOCAL_RANK|GROUP_RANK|ROLE_RANK|ROLE_NAME|WORLD_SIZE|LOCAL_WORLD_SIZE|GROUP_WORLD_SIZE|ROLE_WORLD_SIZE"
    r"|MASTER_ADDR|MASTER_PORT|TORCHELASTIC_.*|PYTORCH_ALLOC_CONF|TORCH_NCCL_ASYNC_ERROR_HANDLING)$"
)
"""Variables of a group that the host itself may be a rank of, and its choice of allocator."""


def start_ranks(options: ModelOptions, settings_path: Path, log_path: Path | None = None) -> subprocess.Popen[bytes]:
    """Start the elastic agent, which starts the ranks.

    Args:
        options: How many ranks, and which machines meet.
        settings_path: See :class:`WorkerSettings`.
        log_path: Where the agent and the ranks write what they print; None: where this process does.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(options.num_gpus)]
    command += ["--max-restarts", "0", *_meeting(options.machines), "-m", "lingbot_core.executor.worker"]
    with log_path.open("ab") if log_path is not None else nullcontext() as log:
        return subprocess.Popen(
            command,
            cwd=PACK_FOLDER,
            env=rank_environment(os.environ, options, settings_path),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C in a terminal is for the host alone
        )


def rank_environment(host: Mapping[str, str], options: ModelOptions, settings_path: Path) -> dict[str, str]:
    """Environment of the ranks, from the host's."""
    environment = {name: value for name, value in host.items() if not _OF_AN_OUTER_GROUP.match(name)}
    paths = [str(PACK_FOLDER), *filter(None, [host.get("PYTHONPATH")])]
    environment |= {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONFAULTHANDLER": "1",
        "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // options.num_gpus)),
        # ComfyUI sets cudaMallocAsync for itself, which CUDA graphs with Triton kernels cannot use
        "PYTORCH_CUDA_ALLOC_CONF": "backend:native",
        SETTINGS_VARIABLE: str(settings_path),
    }
    if options.machines is None:  # nobody else needs to reach them, and no host name needs to be resolved
        for library in ("GLOO", "NCCL"):
            environment.setdefault(f"{library}_SOCKET_IFNAME", _LOOPBACK)
    return environment


def _meeting(machines: Machines | None) -> list[str]:
    """Options of torch elastic that say where ranks meet."""
    if machines is None:
        return ["--standalone"]  # any free port
    # ``static`` numbers machines as they were told, so that rank 0 is beside the host; ``c10d`` sorts them by name
    host, _, port = machines.endpoint.rpartition(":")
    meeting = ["--rdzv-backend", "static", "--nnodes", str(machines.num_machines)]
    return [*meeting, "--node-rank", str(machines.index), "--master-addr", host, "--master-port", port]


def exit_code_in_log(log: str, pid: int) -> int | None:
    """What the elastic agent wrote about the end of a rank; negative numbers are signals."""
    match = re.search(rf"exitcode *: (-?\d+)\)?[^\n]* ?\(pid: {pid}\)", log)
    return int(match[1]) if match else None


def last_error_in_log(log: str) -> str:
    """The last error that a rank wrote, such as a failed import before it could call the host; empty for none."""
    errors = re.findall(r"^(?:\[rank\d+\]: *)?((?:\w+\.)*\w*(?:Error|Exception): .+)$", log, re.MULTILINE)
    own = [text for text in errors if "ChildFailedError" not in text]
    return own[-1] if own else ""
