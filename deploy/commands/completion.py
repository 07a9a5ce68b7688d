"""`postwatch completion SHELL`: the script that completes commands and options in a shell."""

from __future__ import annotations

import argparse

SHELLS = ("bash", "zsh", "fish")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="the shell")
    parser.epilog = (
        "bash: postwatch completion bash > /etc/bash_completion.d/postwatch. zsh: > a file _postwatch in a folder of"
        " $fpath. fish: > ~/.config/fish/completions/postwatch.fish. Commands whose packages are missing are completed"
        " without their options."
    )


def run(arguments: argparse.Namespace) -> int:
    import shtab
    from postwatch.deploy.cli import whole_parser

    print(shtab.complete(whole_parser(), arguments.shell))
    return 0
