"""A client of OCI registries over urllib3; it imports nothing else of the project.

registries = Registries(credentials=DockerConfig.from_file(path))
where = parse_reference("registry.example/models/defects:v1")
pull_file(registries.repository(where), where.version, Path("model.onnx"))
"""

from .artifacts import files_of, pull_artifact, pull_file, push_artifact
from .blobs import copy_blob, has_blob, mount_blob, pull_blob, push_blob, read_blob
from .client import Host, Registries, Repository
from .credentials import Anonymous, Credentials, DockerConfig, FirstOf, Login, StaticLogin, TokenFile
from .descriptors import Descriptor
from .errors import (
    BlobTooLarge,
    Denied,
    DigestMismatch,
    InvalidContent,
    InvalidCredentials,
    InvalidReference,
    NoSuchHost,
    OciError,
    RegistryError,
    RegistryNotFound,
    Unauthorized,
    Unreachable,
    UntrustedCertificate,
)
from .images import (
    LayeredSettings,
    LayerImage,
    Platform,
    PushedImage,
    platforms_of,
    push_image,
    push_index,
    push_layered,
)
from .layers import Directory, Entry, File, Layer, Symlink, tree, write_layer
from .manifests import (
    Manifest,
    delete_manifest,
    get_manifest,
    list_repositories,
    list_tags,
    put_manifest,
    resolve,
)
from .references import Reference, parse_reference
from .transport import Patience

__all__ = [
    "Anonymous",
    "BlobTooLarge",
    "Credentials",
    "Denied",
    "Descriptor",
    "DigestMismatch",
    "Directory",
    "DockerConfig",
    "Entry",
    "File",
    "FirstOf",
    "Host",
    "InvalidContent",
    "InvalidCredentials",
    "InvalidReference",
    "Layer",
    "LayerImage",
    "LayeredSettings",
    "Login",
    "Manifest",
    "NoSuchHost",
    "OciError",
    "Patience",
    "Platform",
    "PushedImage",
    "Reference",
    "Registries",
    "RegistryError",
    "RegistryNotFound",
    "Repository",
    "StaticLogin",
    "Symlink",
    "TokenFile",
    "Unauthorized",
    "Unreachable",
    "UntrustedCertificate",
    "copy_blob",
    "delete_manifest",
    "files_of",
    "get_manifest",
    "has_blob",
    "list_repositories",
    "list_tags",
    "mount_blob",
    "parse_reference",
    "platforms_of",
    "pull_artifact",
    "pull_blob",
    "pull_file",
    "push_artifact",
    "push_blob",
    "push_image",
    "push_index",
    "push_layered",
    "put_manifest",
    "read_blob",
    "resolve",
    "tree",
    "write_layer",
]
