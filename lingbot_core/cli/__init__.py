# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The command line, ``lingbot-world`` and ``python -m lingbot_core``.

A command is a module with ``add_arguments(parser)`` and ``run(args) -> exit code``. Only the
module of the command that was given is imported, so that ``--help`` does not wait for torch.
Exit codes: 0 done, 1 failed, 2 wrong input, 128 + signal number when stopped.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from lingbot_core.cli.console import configure_logging
from lingbot_core.errors import InputError, LingBotError


@dataclass(frozen=True)
class Command:
    """One command of the program."""

    module: str
    """Module that implements it."""

    help: str
    """What it does, in one line."""


COMMANDS = {
    "generate": Command("lingbot_core.cli.generate", "make a video from a photo, a prompt and a camera path"),
    "variants": Command("lingbot_core.cli.variants", "list the variants with their files, sizes and licences"),
    "download": Command("lingbot_core.cli.download", "download the weights of a variant"),
    "make-checkpoint": Command("lingbot_core.cli.make_checkpoint", "write a small checkpoint with random weights"),
    "queue": Command("lingbot_core.cli.queue", "run a graph on a ComfyUI server and bring the results here"),
    "worker": Command("lingbot_core.cli.worker", "lend the GPUs of this machine to another one that generates"),
    "bench": Command("lingbot_core.bench", "measure speed and memory with random weights"),
}
"""Every command by name."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments without the program name; None takes those of the process.

    Returns:
        Exit code, see the module's docstring. ``--help`` and malformed options raise ``SystemExit``.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        args = _parser(arguments).parse_args(arguments)
        configure_logging(args.verbose)
        return importlib.import_module(COMMANDS[args.command].module).run(args)
    except LingBotError as error:
        print(f"lingbot-world: error: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt:
        print("lingbot-world: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser, with the options of the command that ``arguments`` name only."""
    parser = argparse.ArgumentParser(
        prog="lingbot-world", description="LingBot-World: a photo, a prompt and a camera path become a video."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        subparser = commands.add_parser(name, help=command.help, description=f"{command.help.capitalize()}.")
        subparser.add_argument("--verbose", action="store_true", help="say more about what is going on")
        if arguments and arguments[0] == name:
            importlib.import_module(command.module).add_arguments(subparser)
    return parser
