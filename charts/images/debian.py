"""The lowest layer: the parts of Debian 12 that an image needs, unpacked and pruned.

``mmdebstrap --variant=extract`` only unpacks packages. No maintainer script runs, so that arm64 is built on amd64
without emulation; this module does the work of scripts that we need.
"""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_oci.layers import Directory, File, Layer, tree, write_layer

from .bytecode import compile_instead
from .progress import run, timed
from .pruning import drop_empty_directories, keep_only, prune

SUITE = "bookworm"
MULTIARCH = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}

USER = 65532
_CERTIFICATES = "ca-certificates"
_PASSWD = f"root:x:0:0:root:/root:/usr/sbin/nologin\nnonroot:x:{USER}:{USER}:nonroot:/:/usr/sbin/nologin\n"
_GROUP = f"root:x:0:\nnonroot:x:{USER}:\n"
_NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n"

# Image scanners read var/lib/dpkg/status.d when there is no package database. mmdebstrap deletes the
# packages when it has unpacked them, so their control data are taken before.
_CONTROL_HOOK = (
    'mkdir -p "$1/var/lib/dpkg/status.d"; for deb in "$1"/var/cache/apt/archives/*.deb; do '
    'file="$1/var/lib/dpkg/status.d/$(dpkg-deb --field "$deb" Package)"; dpkg-deb --field "$deb" > "$file"; '
    'dpkg-deb --ctrl-tarfile "$deb" | tar --extract --to-stdout ./md5sums > "$file.md5sums" || true; done'
)


@dataclass(frozen=True)
class Debian:
    """One root file system: packages, and which of their files are kept."""

    packages: tuple[str, ...]
    pruned: Mapping[str, Sequence[str]] | None = None
    """The patterns of files that are deleted, by the reason; None: only ``kept`` stays."""
    kept: Sequence[str] = ()
    """The patterns of files that stay."""
    links: Mapping[str, str] | None = None
    """The symbolic links to add: path -> target."""


# In patterns {multiarch} is x86_64-linux-gnu or aarch64-linux-gnu.
_PYTHON_PRUNED = {
    "documentation; licences stay": [
        "usr/share/doc/*/*", "usr/share/locale", "usr/share/man", "usr/share/info", "usr/share/lintian",
        "usr/share/doc-base", "usr/share/gdb", "usr/share/bug", "usr/share/bash-completion",
    ],
    "what installs and configures packages": [
        "usr/bin/dpkg*", "usr/bin/update-alternatives", "usr/bin/debconf*", "usr/bin/py3*", "usr/bin/deb-systemd*",
        "usr/lib/dpkg", "usr/libexec", "usr/lib/apt", "usr/share/dpkg", "usr/share/debconf", "usr/share/perl5",
        "usr/share/pixmaps",
        "usr/share/polkit-1", "usr/share/python3", "usr/share/base-files", "usr/share/base-passwd", "usr/share/misc",
        "usr/share/binfmts", "usr/share/applications", "usr/share/readline", "usr/share/dict", "usr/share/menu",
        "usr/share/gcc", "usr/lib/tmpfiles.d", "usr/lib/valgrind", "usr/lib/python3", "usr/lib/mime", "usr/lib/ssl",
        "etc/apt", "etc/cron.daily", "etc/dpkg", "etc/logrotate.d", "etc/alternatives", "etc/update-motd.d",
        "etc/gss", "etc/debconf.conf", "etc/ca-certificates", "etc/kernel", "etc/default", "etc/skel", "etc/profile.d",
        "var/lib/apt", "var/lib/pam", "var/lib/dpkg/[!s]*", "var/lib/dpkg/status", "var/cache/*", "var/log/*",
        "var/backups", "var/lib/misc", "boot", "home", "media", "mnt", "srv", "opt", "dev/*",
    ],
    "the build machine's name and name servers, which mmdebstrap leaves behind": [
        "etc/hostname", "etc/hosts", "etc/resolv.conf",
    ],
    "what a machine needs to boot, and a person to log in": [
        "lib/systemd", "usr/lib/binfmt.d", "etc/ethertypes", "etc/fstab", "etc/issue*", "etc/rmt", "etc/rpc",
    ],
    "programs that no Python needs; there is no shell": [
        "bin/*", "sbin/*", "usr/sbin/*", "usr/bin/[!p]*", "usr/bin/pdb3*", "usr/bin/pydoc3*", "usr/bin/pygettext3*",
        "usr/bin/perl*", "usr/share/awk",
    ],
    "character sets, hardware crypto, memory debugging, and variants that nothing here links": [
        "usr/lib/{multiarch}/gconv", "usr/lib/{multiarch}/engines-3", "usr/lib/{multiarch}/ossl-modules",
        "usr/lib/{multiarch}/audit", "lib/{multiarch}/libmemusage*", "lib/{multiarch}/libpcprofile*",
        "lib/{multiarch}/libc_malloc_debug*", "lib/{multiarch}/libthread_db*", "lib/{multiarch}/libBrokenLocale*",
        "lib/{multiarch}/libanl*", "lib/{multiarch}/libmvec*", "usr/lib/{multiarch}/libexpatw*",
    ],
    "Kerberos and NIS": [
        "usr/lib/{multiarch}/krb5", "usr/lib/{multiarch}/libkrb5*", "usr/lib/{multiarch}/libgssapi*",
        "usr/lib/{multiarch}/libk5crypto*", "usr/lib/{multiarch}/libnsl*", "lib/{multiarch}/libnsl*",
        "lib/{multiarch}/libtirpc*", "lib/{multiarch}/libkeyutils*", "lib/{multiarch}/libcom_err*",
        "lib/{multiarch}/libnss_hesiod*", "lib/{multiarch}/libnss_compat*", "etc/netconfig",
    ],
    "libraries of the programs above, and of the modules below": [
        "usr/lib/{multiarch}/libdb-5.3*", "usr/lib/{multiarch}/libpcre2*", "usr/lib/{multiarch}/libzstd*",
        "usr/lib/{multiarch}/libformw*", "usr/lib/{multiarch}/libmenuw*", "usr/lib/{multiarch}/libpanelw*",
        "usr/lib/{multiarch}/libtic*", "usr/lib/{multiarch}/libmd.*", "usr/lib/{multiarch}/libacl*",
        "usr/lib/{multiarch}/libdebconf*", "usr/lib/{multiarch}/libsqlite3*", "usr/lib/{multiarch}/libgdbm*",
        "lib/{multiarch}/libselinux*", "lib/{multiarch}/libreadline*", "lib/{multiarch}/libhistory*",
        "lib/{multiarch}/libncurses*", "lib/{multiarch}/libtinfo*", "lib/{multiarch}/libcrypt.so*", "lib/terminfo",
        "etc/terminfo", "etc/inputrc",
    ],
    "parts of the standard library for terminals, tests, documentation and packaging": [
        f"usr/lib/python3.11/{name}"
        for name in (
            "test", "pydoc_data", "doctest.py", "lib2to3", "idlelib", "ensurepip", "venv", "tkinter",
            "turtle*", "distutils", "sqlite3", "dbm", "curses", "xmlrpc", "msilib", "config-3.11-*", "__pycache__",
            "**/__pycache__",
        )
    ],
    "what Python 3.13 has dropped (PEP 594), and protocols of another age": [
        f"usr/lib/python3.11/{name}.py"
        for name in (
            "aifc", "asynchat", "asyncore", "cgi", "cgitb", "chunk", "crypt", "ftplib", "imaplib", "imghdr", "mailbox",
            "mailcap", "nntplib", "ossaudiodev", "pipes", "poplib", "smtpd", "smtplib", "sndhdr", "sunau",
            "telnetlib", "uu", "wave", "xdrlib",
        )
    ],
    "debuggers and other tools of a developer (not what torch imports)": [
        f"usr/lib/python3.11/{name}.py"
        for name in (
            "antigravity", "bdb", "pdb", "pyclbr", "rlcompleter", "tabnanny", "this", "trace", "webbrowser", "zipapp",
            "modulefinder", "sched", "shelve",
        )
    ],
    "character sets besides UTF-8 and its like": [
        f"usr/lib/python3.11/encodings/{name}"
        for name in (
            "big5*", "cp7*", "cp8*", "cp9*", "cp10*", "cp11*", "cp125[013-8]*", "euc_*", "gb*", "hz*", "iso2022*",
            "iso8859_[2-9]*", "iso8859_1[0-6]*", "johab*", "koi8*", "kz1048*", "mac_*", "ptcp*", "shift_jis*", "tis_*",
        )
    ],
    "their extension modules": [
        f"usr/lib/python3.11/lib-dynload/{name}*"
        for name in (
            "_dbm", "_gdbm", "_sqlite3", "_curses", "readline", "nis", "_crypt", "ossaudiodev", "_test", "_xxtest",
            "xxlimited", "audioop", "_codecs_cn", "_codecs_hk", "_codecs_iso2022", "_codecs_jp",
            "_codecs_kr", "_codecs_tw",
        )
    ],
    "certificates, one file each: they are in one bundle": ["usr/share/ca-certificates"],
}  # fmt: skip

PYTHON = Debian(
    packages=("base-files", "base-passwd", "ca-certificates", "libstdc++6", "netbase", "python3"),
    pruned=_PYTHON_PRUNED,
)


def program(package: str, path: str, name: str) -> Debian:
    """Returns an image of one Debian program that needs only the C library; the program is also at ``/bin/<name>``."""
    return Debian(
        packages=("base-files", "base-passwd", "ca-certificates", "netbase", package),
        kept=(
            path,
            "lib/{multiarch}/ld-linux-*", "lib/{multiarch}/libc.so.6", "lib/ld-linux-*", "lib64/*",
            "etc/ssl/certs/ca-certificates.crt", "etc/protocols", "etc/services", "etc/os-release",
            "usr/lib/os-release", "etc/debian_version", "var/lib/dpkg/status.d/*",
        ),
        links={f"bin/{name}": f"/{path}"},
    )  # fmt: skip


def write_debian_layer(what: Debian, architecture: str, path: Path, scratch: Path) -> Layer:
    """Unpacks, prunes and writes one root file system as a gzip layer. Raises BuildError."""
    multiarch = MULTIARCH[architecture]
    root = scratch / "root"
    _unpack(what.packages, architecture, scratch / "unpacked.tar", root)
    bundle_certificates(root)
    if what.pruned is None:
        keep_only(root, what.kept, multiarch=multiarch)
    else:
        prune(root, what.pruned, multiarch=multiarch)
        drop_empty_directories(root)
    keep_packages_that_are_there(root)
    standard_library = root / "usr/lib/python3.11"
    if standard_library.is_dir():
        compile_instead(standard_library, "/usr/lib/python3.11")
    for name, target in (what.links or {}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(target)
    entries = tree(root) | {
        "etc/passwd": File(_PASSWD.encode()),
        "etc/group": File(_GROUP.encode()),
        "etc/nsswitch.conf": File(_NSSWITCH.encode()),
        "root": Directory(0o700),
        "tmp": Directory(0o1777),
        **{name: Directory() for name in ("dev", "proc", "run", "sys")},
    }
    return write_layer(entries, path, compression="gzip")


def _unpack(packages: Sequence[str], architecture: str, archive: Path, root: Path) -> None:
    argv = ["mmdebstrap", "--quiet", "--variant=extract", f"--architectures={architecture}"]
    with timed(f"{architecture}: unpacking {', '.join(packages)} and what they need"):
        run([*argv, f"--include={','.join(packages)}", f"--extract-hook={_CONTROL_HOOK}", SUITE, archive])
        root.mkdir()
        with tarfile.open(archive) as packed:
            for member in packed:
                if not (member.isdir() or member.isfile() or member.issym() or member.islnk()):
                    continue  # devices: the container runtime creates its own
                member.mode |= 0o600 if member.isfile() else 0o700
                member.uid = member.gid = 0
                packed.extract(member, root, set_attrs=not member.issym(), numeric_owner=True)
    archive.unlink()


def bundle_certificates(root: Path) -> None:
    """Writes all certificates that Debian trusts into one file, as update-ca-certificates does."""
    sources = sorted((root / "usr/share/ca-certificates").rglob("*.crt"))
    if sources:
        bundle = root / "etc/ssl/certs/ca-certificates.crt"
        bundle.parent.mkdir(parents=True, exist_ok=True)
        bundle.write_text("".join(source.read_text() for source in sources))


def keep_packages_that_are_there(root: Path) -> None:
    """Removes the records and licences of packages of which nothing else is left, except for the bundled
    certificates."""
    status = root / "var/lib/dpkg/status.d"
    documents = root / "usr/share/doc"
    shared = {path.readlink().name for path in documents.iterdir() if path.is_symlink()}
    for sums in sorted(status.glob("*.md5sums")):
        package = sums.name.removesuffix(".md5sums")
        lines = sums.read_text().splitlines(keepends=True)
        left = [line for line in lines if (root / _file_of(line)).is_file()]
        if package == _CERTIFICATES or any(not _file_of(line).startswith("usr/share/doc/") for line in left):
            sums.write_text("".join(left))
            continue
        sums.unlink()
        (status / package).unlink()
        if (documents / package).is_symlink():
            (documents / package).unlink()
        elif package not in shared:
            shutil.rmtree(documents / package, ignore_errors=True)


def _file_of(line: str) -> str:
    """Returns the path in a line of an md5sums file, which holds digest, blanks and path."""
    return line.split(maxsplit=1)[1].strip()
