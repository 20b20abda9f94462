"""Loads the libraries that the operator imports late, makes one signature, and reads the certificates."""

import ssl

import aiohttp  # noqa: F401
import jwt
import kopf
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from kubernetes.aio import client, config
from prometheus_client import generate_latest

key = ec.generate_private_key(ec.SECP256R1())
token = jwt.encode({"sub": "probe"}, key, algorithm="ES256")
assert jwt.decode(token, key.public_key(), algorithms=["ES256"]) == {"sub": "probe"}
client.Configuration()
for late in (client.ApiClient, config.load_incluster_config, config.load_kube_config, kopf.login_with_service_account):
    assert callable(late)
assert yaml.__with_libyaml__
generate_latest()
authorities = len(ssl.create_default_context().get_ca_certs())
assert authorities > 100, authorities
print(f"kopf, kubernetes.aio, an ES256 signature, {authorities} certificate authorities")
