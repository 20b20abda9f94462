"""Pruning removes the listed files, and never licences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from charts.images import debian, pruning, wheels
from charts.images.catalogue import IMAGES

_LISTS: dict[str, Mapping[str, Sequence[str]]] = {
    "Debian": debian.PYTHON.pruned or {},
    "every wheel": wheels.COMMON,
    **{what.lock: what.pruned for image in IMAGES.values() for what in image.wheels},
}
_LICENCES = [
    "usr/share/doc/libc6/copyright",
    "usr/share/common-licenses/GPL-3",
    "numpy/LICENSE.txt",
    "numpy/random/LICENSE.md",
    "numpy-2.0.dist-info/licenses/numpy/LICENSE.txt",
    "onnxruntime/ThirdPartyNotices.txt",
    "onnxruntime/tools/LICENSE",
    "sympy/physics/COPYING",
    "kubernetes/client/NOTICE",
]


def fill(root: Path, names: Sequence[str]) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


@pytest.mark.parametrize("name", _LISTS)
def test_no_list_takes_a_licence(tmp_path: Path, name: str) -> None:
    fill(tmp_path, _LICENCES)
    pruning.prune(tmp_path, _LISTS[name], multiarch="x86_64-linux-gnu")
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == set(_LICENCES)


@pytest.mark.parametrize("name", _LISTS)
def test_every_list_has_a_reason_and_stays_inside_the_root(name: str) -> None:
    for why, patterns in _LISTS[name].items():
        assert len(why) > 4
        for pattern in patterns:
            assert not pattern.startswith(("/", "*", ".")) or pattern.startswith(("**/", "*.dist-info")), pattern


@pytest.mark.parametrize("name", ["copyright.py", "license.py", "_notices.cpython-311.so", "data/model.bin"])
def test_code_is_not_a_licence_whatever_its_name(name: str) -> None:
    assert not pruning.is_licence(Path(name))


def test_a_folder_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    fill(tmp_path, ["tools/a.py", "tools/deep/b.py", "kept/c.py", "lib/x86_64-linux-gnu/old.so"])
    (tmp_path / "tools/link").symlink_to("../kept")
    lists = {"why": ["tools", "tools/a.py", "lib/{multiarch}/old*", "absent/*"]}
    assert pruning.prune(tmp_path, lists, multiarch="x86_64-linux-gnu") > 0
    assert (tmp_path / "kept/c.py").exists()
    assert not (tmp_path / "tools").exists()
    assert not list((tmp_path / "lib").rglob("*.so"))


def test_only_what_is_named_and_licences_are_kept(tmp_path: Path) -> None:
    fill(tmp_path, ["usr/bin/prometheus", "usr/bin/other", "usr/share/doc/prometheus/copyright", "etc/x/y"])
    pruning.keep_only(tmp_path, ["usr/bin/prometheus"])
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"usr/bin/prometheus", "usr/share/doc/prometheus/copyright"}
    assert not (tmp_path / "etc").exists()


def test_records_and_licences_go_with_the_last_file_of_a_package(tmp_path: Path) -> None:
    fill(
        tmp_path,
        [
            "usr/lib/libkept.so",
            "usr/share/doc/kept/copyright",
            "usr/share/doc/gone/copyright",
            "usr/share/doc/shared/copyright",
            "var/lib/dpkg/status.d/kept",
            "var/lib/dpkg/status.d/gone",
            "var/lib/dpkg/status.d/shared",
        ],
    )
    (tmp_path / "usr/share/doc/libkept1").symlink_to("shared")
    sums = {
        "kept": "0  usr/lib/libkept.so\n0  usr/lib/pruned.so\n0  usr/share/doc/kept/copyright\n",
        "gone": "0  usr/bin/gone\n0  usr/share/doc/gone/copyright\n",
        "shared": "0  usr/share/doc/shared/copyright\n",
    }
    for package, text in sums.items():
        (tmp_path / f"var/lib/dpkg/status.d/{package}.md5sums").write_text(text)
    debian.keep_packages_that_are_there(tmp_path)
    assert {path.name for path in (tmp_path / "var/lib/dpkg/status.d").iterdir()} == {"kept", "kept.md5sums"}
    assert "pruned" not in (tmp_path / "var/lib/dpkg/status.d/kept.md5sums").read_text()
    documents = tmp_path / "usr/share/doc"
    assert (documents / "kept/copyright").exists()
    assert not (documents / "gone").exists()
    assert (documents / "libkept1/copyright").exists()  # by way of "shared"


def test_the_build_machine_leaves_no_trace(tmp_path: Path) -> None:
    for base in {image.base.packages: image.base for image in IMAGES.values()}.values():
        fill(tmp_path, ["etc/hostname", "etc/hosts", "etc/resolv.conf"])
        if base.pruned is None:
            pruning.keep_only(tmp_path, base.kept, multiarch="x86_64-linux-gnu")
        else:
            pruning.prune(tmp_path, base.pruned, multiarch="x86_64-linux-gnu")
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_certificates_become_one_file_in_a_fixed_order(tmp_path: Path) -> None:
    fill(tmp_path, ["usr/share/ca-certificates/mozilla/b.crt", "usr/share/ca-certificates/mozilla/a.crt"])
    debian.bundle_certificates(tmp_path)
    bundle = (tmp_path / "etc/ssl/certs/ca-certificates.crt").read_text()
    assert bundle.index("a.crt") < bundle.index("b.crt")
