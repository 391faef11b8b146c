"""What has to be there before Envoy can be started: Envoy, descriptors for its transcoder, stubs for the scenarios."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from runner import processes

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent.parent.parent
CERTIFICATES = ROOT / "tests" / "certificates"


class Tools:
    """Envoy and Python packages, pinned, in `cache`; descriptors and stubs, made anew, in `folder`."""

    def __init__(self, packages: Path, made: Path):
        self.packages, self.made = packages, made

    @property
    def program(self) -> Path:
        """Envoy."""
        return self.packages / "envoy" / "_bin" / "envoy"

    @property
    def descriptors(self) -> Path:
        """All that the transcoder has to know: the API, health, and the details of errors."""
        return self.made / "descriptors.bin"

    def importable(self) -> None:
        """Has this process find grpcio and the stubs. Behind everything else: a package is named `envoy` as well."""
        for place in (self.made, self.packages):
            if str(place) not in sys.path:
                sys.path.append(str(place))


def prepare(cache: Path) -> Tools:
    """Installs what is missing. Done again it takes a second."""
    try:
        return _prepare(cache)
    except subprocess.CalledProcessError as error:
        raise processes.Failed(f"Envoy can't be prepared: {error}") from None


def _prepare(cache: Path) -> Tools:
    tools = Tools(_packages(cache), cache / "interop-envoy" / f"made-{os.getpid()}")
    final = cache / "interop-envoy" / "made"
    shutil.rmtree(tools.made, ignore_errors=True)
    tools.made.mkdir(parents=True)
    _compile(tools)
    # The protos may be others than in the last run, and another run may be at it now.
    shutil.rmtree(final, ignore_errors=True)
    tools.made.rename(final)
    return Tools(tools.packages, final)


def _packages(cache: Path) -> Path:
    """Installs the packages once. They are at their place only when they are whole."""
    wanted = FOLDER / "requirements.txt"
    key = hashlib.sha256(wanted.read_bytes()).hexdigest()[:12]
    place = cache / f"interop-envoy-{key}-{sys.implementation.cache_tag}"
    if place.is_dir():
        return place
    cache.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{place.name}.", dir=cache))
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:",
         "--root-user-action", "ignore", "--target", partial, "--requirement", wanted],
        check=True, stdin=subprocess.DEVNULL)
    try:
        partial.rename(place)
    except OSError:  # another run was quicker: its copy is as good
        shutil.rmtree(partial, ignore_errors=True)
    return place


def _compile(tools: Tools) -> None:
    """One set of descriptors with everything in it, and stubs of the API."""
    ours = sorted((ROOT / "proto").rglob("*.proto"))
    packages = tools.packages
    compiler = [sys.executable, "-m", "grpc_tools.protoc"]
    includes = [f"--proto_path={place}" for place in
                (ROOT / "proto", packages, packages / "grpc_tools" / "_proto")]
    # Envoy has health by heart and no descriptors of it.
    health = tools.made / "health"
    (health / "grpc" / "health" / "v1").mkdir(parents=True)
    (health / "grpc" / "health" / "v1" / "health.proto").write_text(HEALTH)
    environment = {**os.environ, "PYTHONPATH": str(packages)}
    for arguments in (
        [f"--proto_path={health}", "--include_imports", f"--descriptor_set_out={tools.descriptors}", *ours,
         "google/rpc/status.proto", "google/rpc/error_details.proto", "grpc/health/v1/health.proto"],
        [f"--python_out={tools.made}", f"--grpc_python_out={tools.made}", *ours],
    ):
        subprocess.run([*compiler, *includes, *arguments], check=True, env=environment, stdin=subprocess.DEVNULL)


# https://github.com/grpc/grpc-proto: what the transcoder needs of it, and a path for GET.
HEALTH = """
syntax = "proto3";
package grpc.health.v1;
import "google/api/annotations.proto";
message HealthCheckRequest { string service = 1; }
message HealthCheckResponse {
  enum ServingStatus { UNKNOWN = 0; SERVING = 1; NOT_SERVING = 2; SERVICE_UNKNOWN = 3; }
  ServingStatus status = 1;
}
service Health {
  rpc Check(HealthCheckRequest) returns (HealthCheckResponse) {
    option (google.api.http).get = "/healthz";
  }
  rpc Watch(HealthCheckRequest) returns (stream HealthCheckResponse);
}
"""
