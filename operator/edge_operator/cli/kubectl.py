"""Runs kubectl: whatever way of signing in the kubeconfig names, kubectl knows it."""

import shutil
import subprocess


class KubectlError(Exception):
    """kubectl is missing or refused; the message is its own."""


def run(arguments: list[str]) -> str:
    """The standard output. Raises KubectlError."""
    program = shutil.which("kubectl")
    if program is None:
        raise KubectlError("kubectl is not on PATH")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise KubectlError(done.stderr.strip() or f"kubectl ended with {done.returncode}")
    return done.stdout
