"""ECR's layers: AWS gives an address of its storage; here it leads back to this server, which asks the registry."""

from __future__ import annotations

from werkzeug.wrappers import Request, Response

from tests.local_region import names
from tests.local_region.aws_api.calls import Call, json_answer, json_error
from tests.local_region.docker.images import ImageError, RegistryClient
from tests.local_region.state import RegionState

PATH = f"{names.API_STATUS_PATH}/blobs/"


class Ecr:
    """What moto lacks of ECR."""

    def __init__(self, state: RegionState) -> None:
        """Answer for a region; its registry may be there later."""
        self._state = state

    def answer(self, call: Call, host: str) -> Response | None:
        """Answer a call that moto lacks; None for all others.

        Args:
            call: Any call.
            host: `host:port` that it came to.
        """
        if (call.service, call.action) != ("ecr", "GetDownloadUrlForLayer"):
            return None
        body = call.json()
        repository, digest = str(body["repositoryName"]), str(body["layerDigest"])
        if self._blob(repository, digest) is None:
            return json_error("LayersNotFoundException", f"The layer {digest} does not exist in {repository}")
        return json_answer({"downloadUrl": f"http://{host}{PATH}{repository}/{digest}", "layerDigest": digest})

    def download(self, request: Request) -> Response | None:
        """Answer a request for such an address; None for any other."""
        if not request.path.startswith(PATH):
            return None
        repository, _, digest = request.path.removeprefix(PATH).rpartition("/")
        content = self._blob(repository, digest)
        return Response(status=404) if content is None else Response(content)

    def _blob(self, repository: str, digest: str) -> bytes | None:
        ports = self._state.load_ports()
        if ports is None:
            return None
        try:
            client = RegistryClient(
                f"127.0.0.1:{ports.registry}", self._state.docker_config, self._state.certificates / "ca.crt"
            )
            return client.blob(repository, digest)
        except (ImageError, OSError, ValueError, KeyError):
            return None
