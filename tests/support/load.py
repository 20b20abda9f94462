"""A client on an edge node: asks one EdgeModel without pause and counts what went wrong.

Run as a program in the node's network namespace: ``load.py ADDRESS PORT MODEL SECONDS CONNECTIONS``; half of
the connections are kept alive, the other half are new for each request. Prints one JSON object.
"""

import http.client
import json
import sys
import threading
import time

BODY = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 16], "data": [0.5] * 16}]})


class Client(threading.Thread):
    def __init__(self, address: str, port: int, model: str, until: float, keep: bool) -> None:
        super().__init__()
        self.address, self.port, self.until, self.keep = address, port, until, keep
        self.path = f"/v2/models/{model}/infer"
        self.good = 0
        self.failures: list[str] = []
        self.versions: dict[str, int] = {}

    def run(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while time.monotonic() < self.until:
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(self.address, self.port, timeout=5)
                connection.request("POST", self.path, BODY, {"Content-Type": "application/json"})
                response = connection.getresponse()
                data = response.read()
                if response.status != 200:
                    self.failures.append(f"{response.status} {data[:200]!r}")
                else:
                    self.good += 1
                    version = json.loads(data)["model_version"]
                    self.versions[version] = self.versions.get(version, 0) + 1
                if not self.keep or response.will_close:
                    connection.close()
                    connection = None
            except OSError as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                connection = None
            except http.client.HTTPException as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                connection = None


def main() -> None:
    address, port, model, seconds, count = sys.argv[1:6]
    until = time.monotonic() + float(seconds)
    clients = [Client(address, int(port), model, until, keep=number % 2 == 0) for number in range(int(count))]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    versions: dict[str, int] = {}
    for client in clients:
        for version, number in client.versions.items():
            versions[version] = versions.get(version, 0) + number
    failures = [failure for client in clients for failure in client.failures]
    print(
        json.dumps(
            {
                "good": sum(client.good for client in clients),
                "failed": len(failures),
                "failures": failures[:10],
                "versions": versions,
            }
        )
    )


if __name__ == "__main__":
    main()
